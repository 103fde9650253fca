//! HTTP towards one repository of a registry.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use cutover_core::Repository;
use cutover_secrets::Secret;
use cutover_store::Blob;
use futures_util::TryStreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;
use url::{Host, Url};

use crate::pace::Pace;
use crate::remote::challenge::Challenge;
use crate::remote::entry::{Entry, Token};
use crate::traffic::Meter;
use crate::{Error, Result};

/// For a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// For an answer to a request that carries no layer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// A registry that confirms nothing of what it was sent for this long is gone.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How much of a layer is read and sent at once, in bytes.
const CHUNK: usize = 256 * 1024;
/// The largest token, in bytes.
const TOKEN_LIMIT: usize = 256 * 1024;
/// Where Docker Hub's registry is (its name in images is another one).
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// The content of a request.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Content that is in memory, so that it can be sent again.
#[derive(Debug, Default, Clone)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    /// What it is; of a request without any, what is asked for.
    pub(super) media_type: Option<&'static str>,
}

/// Speaks to one repository.
#[derive(Debug)]
pub(super) struct Client {
    repository: Repository,
    /// What its end points begin with.
    base: Url,
    entry: Entry,
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Body>,
}

/// Content from the store, as fast as it may go.
pub(super) fn streamed(blob: Blob, pace: Pace, meter: Meter) -> Body {
    let pieces = ReaderStream::with_capacity(blob, CHUNK).and_then(move |piece| {
        let (pace, meter) = (pace.clone(), meter.clone());
        async move {
            pace.take(piece.len()).await;
            meter.add_sent(piece.len());
            Ok(Frame::data(piece))
        }
    });
    UnsyncBoxBody::new(StreamBody::new(pieces))
}

impl Client {
    pub(super) fn new(repository: &Repository, password: Secret) -> Result<Self> {
        let Repository { registry, repository: name } = repository;
        let server = if registry.server == HUB.0 { HUB.1 } else { &registry.server };
        let no_registry = || Error::NoRegistry { registry: registry.server.clone() };
        let base = Url::parse(&format!("https://{server}/v2/{name}/")).map_err(|_| no_registry())?;
        let base = if is_loopback(&base) {
            Url::parse(&format!("http://{server}/v2/{name}/")).map_err(|_| no_registry())?
        } else {
            base
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        tcp.set_tcp_user_timeout(Some(SILENCE_LIMIT));
        let tls = HttpsConnectorBuilder::new().with_native_roots().map_err(Error::Roots)?;
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        let entry = Entry::new(registry.username.clone(), password);
        Ok(Self { repository: repository.clone(), base, entry, http })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// The registry's name in front of people.
    pub(super) fn registry(&self) -> &str {
        &self.repository.registry.server
    }

    pub(super) fn username(&self) -> &str {
        &self.entry.username
    }

    /// Sends a request to an end point of the repository, again with what opens where it isn't let in.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        content: Content,
    ) -> Result<Response<Incoming>> {
        let url = self.base.join(path).map_err(|_| self.no_registry())?;
        let answer = self.ask_once(&method, &url, &content).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some(challenge) = Challenge::of(answer.headers()) else { return Ok(answer) };
        let opens = match challenge {
            Challenge::Basic => self.entry.basic(),
            Challenge::Token { realm, service } => self.token(&realm, service.as_deref()).await?,
        };
        self.entry.show(opens);
        self.ask_once(&method, &url, &content).await
    }

    async fn ask_once(&self, method: &Method, url: &Url, content: &Content) -> Result<Response<Incoming>> {
        let mut request = self.request(method, url);
        if let Some(media_type) = content.media_type {
            request =
                request.header(if content.bytes.is_empty() { ACCEPT } else { CONTENT_TYPE }, media_type);
        }
        let body = Full::new(content.bytes.clone()).map_err(|never| match never {}).boxed_unsync();
        let answer = timeout(ANSWER_LIMIT, self.send(request, body)).await;
        answer.map_err(|_| Error::Silent { registry: self.registry().to_owned(), after: ANSWER_LIMIT })?
    }

    /// Sends content to where the registry wants it.
    pub(super) async fn upload(&self, at: Url, size: u64, body: Body) -> Result<Response<Incoming>> {
        let request = self.request(&Method::PUT, &at);
        let request = request.header(CONTENT_LENGTH, size).header(CONTENT_TYPE, "application/octet-stream");
        self.send(request, body).await
    }

    /// A request, with what opens the registry where it goes there.
    fn request(&self, method: &Method, url: &Url) -> hyper::http::request::Builder {
        let request = Request::builder().method(method).uri(url.as_str());
        match self.entry.shown().filter(|_| url.origin() == self.base.origin()) {
            Some(shown) => request.header(AUTHORIZATION, shown),
            None => request,
        }
    }

    async fn send(&self, request: hyper::http::request::Builder, body: Body) -> Result<Response<Incoming>> {
        let request = request.body(body).map_err(|_| self.no_registry())?;
        let sent = self.http.request(request).await;
        sent.map_err(|source| Error::Unreachable { registry: self.registry().to_owned(), source })
    }

    /// Gets a token for name and password: it opens this repository alone, and not for long.
    async fn token(&self, realm: &str, service: Option<&str>) -> Result<Option<hyper::header::HeaderValue>> {
        let odd = |reason: &str| Error::NoToken {
            registry: self.registry().to_owned(),
            realm: realm.to_owned(),
            reason: reason.to_owned(),
        };
        let mut url = Url::parse(realm).map_err(|_| odd("this is no URL"))?;
        if url.scheme() != "https" && !is_loopback(&url) {
            return Err(odd("the password would travel in the clear"));
        }
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let scope = format!("repository:{}:pull,push", self.repository.repository);
        url.query_pairs_mut().append_pair("scope", &scope);
        let mut request = Request::get(url.as_str());
        if let Some(basic) = self.entry.basic() {
            request = request.header(AUTHORIZATION, basic);
        }
        let got = async {
            let answer = self.send(request, Full::default().map_err(|never| match never {}).boxed_unsync());
            let answer = answer.await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), TOKEN_LIMIT).collect().await;
            Ok::<_, Error>((status, body))
        };
        let got = timeout(ANSWER_LIMIT, got).await;
        let silent = |_| Error::Silent { registry: realm.to_owned(), after: ANSWER_LIMIT };
        let (status, body) = got.map_err(silent)??;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let (registry, username) = (self.registry().to_owned(), self.username().to_owned());
            return Err(Error::NotLetIn { registry, username, status, reason: String::new() });
        }
        let body = body.map_err(|_| odd("the answer broke off"))?.to_bytes();
        let token = serde_json::from_slice::<Token>(&body).map_err(|_| odd("the answer is no token"))?;
        Ok(token.bearer())
    }

    fn no_registry(&self) -> Error {
        Error::NoRegistry { registry: self.registry().to_owned() }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
