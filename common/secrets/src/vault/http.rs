//! Requests to a Vault.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::answer::{Errors, Login as Entered};
use super::credential::{Credential, Login, file};
use super::error::Said;
use super::{Error, Settings};
use crate::Secret;

/// For a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For an answer as a whole.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes: a server takes no larger secret (`max_request_size` is more for whole requests alone).
const MOST: usize = 1 << 20;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Without it an agent that stands between refuses (`require_request_header`).
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// A client of one server.
pub(super) struct Http {
    settings: Settings,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A client that has logged in.
pub(super) struct Session {
    pub(super) http: Http,
    token: Secret,
    /// Whether the token is of this session alone, and ends with it.
    is_own: bool,
}

/// An answer that is none of an error.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content: Zeroizing<Vec<u8>>,
}

impl Http {
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let config = tls(&settings)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self { settings, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    pub(super) fn server(&self) -> String {
        self.settings.server.clone()
    }

    /// Logs in.
    pub(super) async fn enter(self) -> Result<Session, Error> {
        let Entered { token, is_revocable } = match &self.settings.credential {
            Credential::Token(token) => {
                let token = token.value().await?;
                return Ok(Session { http: self, token, is_own: false });
            }
            Credential::AppRole { role, secret } => {
                let role = role.value().await?;
                let secret = match secret {
                    Some(secret) => Some(secret.value().await?),
                    None => None,
                };
                let secret_id = secret.as_ref().map(Secret::expose);
                self.login(&Login::AppRole { role_id: role.expose(), secret_id }).await?
            }
            Credential::Jwt { role, file: path } => {
                let jwt = file("VAULT_JWT_FILE", path).await?;
                self.login(&Login::Jwt { role: role.as_deref(), jwt: jwt.expose() }).await?
            }
            Credential::Certificate { role } => {
                self.login(&Login::Certificate { name: role.as_deref() }).await?
            }
        };
        Ok(Session { http: self, token, is_own: is_revocable })
    }

    async fn login(&self, login: &Login<'_>) -> Result<Entered, Error> {
        let mount = &self.settings.mount;
        let path = format!("auth/{mount}/login");
        let answer = self.send(Method::POST, &path, None, Some(login)).await?;
        let refused =
            |status, said| Error::LoginRefused { server: self.server(), mount: mount.clone(), status, said };
        match answer.status {
            200 => answer.read().ok_or_else(|| Error::Answer { server: self.server(), path }),
            status => Err(refused(status, answer.said())),
        }
    }

    /// Sends a request. Whatever says that the server can't answer now is an error here already.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret>,
        body: Option<&impl Serialize>,
    ) -> Result<Answer, Error> {
        let not_understood = || Error::Answer { server: self.server(), path: path.to_owned() };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/v1/{path}", self.settings.server))
            .header(REQUEST, "true")
            .header(ACCEPT, "application/json");
        if let Some(token) = token {
            let mut token =
                HeaderValue::try_from(token.expose()).map_err(|_| Error::Setting("VAULT_TOKEN"))?;
            token.set_sensitive(true);
            request = request.header(TOKEN, token);
        }
        if let Some(namespace) = &self.settings.namespace {
            request = request.header(NAMESPACE, namespace);
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                // The connection's own copies are out of reach.
                Bytes::from_owner(Zeroizing::new(serde_json::to_vec(body).map_err(|_| not_understood())?))
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::from(body)).map_err(|_| not_understood())?;
        let answered = async {
            let answer = self.client.request(request).await.map_err(|source| self.unreachable(source))?;
            self.collect(answer).await?.ok_or_else(not_understood)
        };
        let answer = timeout(LIMIT, answered)
            .await
            .map_err(|_| Error::Silent { server: self.server(), seconds: LIMIT.as_secs() })??;
        match answer.status {
            300..=399 => Err(Error::Redirected { server: self.server() }),
            // It tells of its seal in words alone, and of what it can't do without its key.
            503 if answer.said().0.iter().any(|said| said.contains("sealed")) => {
                Err(Error::Sealed { server: self.server() })
            }
            // 412: a replica that isn't as far as the one that answered before.
            status @ (412 | 429 | 500..=599) => {
                Err(Error::Busy { server: self.server(), status, said: answer.said() })
            }
            _ => Ok(answer),
        }
    }

    /// The content of an answer, in memory that is wiped; none where it is too large.
    async fn collect(&self, answer: Response<Incoming>) -> Result<Option<Answer>, Error> {
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        // As large as it gets from the start, where that is known: a vector that grows leaves copies behind.
        let size = usize::try_from(body.size_hint().lower()).unwrap_or(MOST).clamp(16 * 1024, MOST);
        let mut content = Zeroizing::new(Vec::with_capacity(size));
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|source| self.unreachable(source))?.into_data() else { continue };
            if content.len() + data.len() > MOST {
                return Ok(None);
            }
            content.extend_from_slice(&data);
        }
        Ok(Some(Answer { status, content }))
    }

    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Unreachable { server: self.server(), source: source.into() }
    }
}

impl Session {
    /// Asks for something.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.http.send(Method::GET, path, Some(&self.token), None::<&()>).await
    }

    /// Says something without content.
    pub(super) async fn post(&self, path: &str) -> Result<Answer, Error> {
        self.http.send(Method::POST, path, Some(&self.token), Some(&Nothing {})).await
    }

    /// Gives the token back where it was made for this session. One that can't be ends by itself, later.
    pub(super) async fn leave(self) {
        if self.is_own
            && let Err(error) = self.post("auth/token/revoke-self").await
        {
            tracing::debug!(%error, "a token of Vault was not given back");
        }
    }
}

#[derive(Serialize)]
struct Nothing {}

impl Answer {
    /// What it says; none where it can't be understood.
    pub(super) fn read<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.content).ok()
    }

    /// What the server gave for a reason.
    pub(super) fn said(&self) -> Said {
        Said(self.read().map(|Errors { errors }| errors).unwrap_or_default())
    }
}

/// TLS by the authority that is named, or by the system's; with a certificate of the program's own, where there is one.
fn tls(settings: &Settings) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    match &settings.authority {
        Some(path) => {
            let unusable = |source| Error::File { variable: "VAULT_CACERT", path: path.clone(), source };
            for certificate in pem_file(path).map_err(unusable)? {
                roots.add(certificate).map_err(Error::Tls)?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    let Some((certificate, key)) = &settings.certificate else { return Ok(config.with_no_client_auth()) };
    let unusable =
        |variable, path: &std::path::Path, source| Error::File { variable, path: path.to_owned(), source };
    let chain = pem_file(certificate).map_err(|source| unusable("VAULT_CLIENT_CERT", certificate, source))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| unusable("VAULT_CLIENT_KEY", key, std::io::Error::other(error)))?;
    config.with_client_auth_cert(chain, key).map_err(Error::Tls)
}

fn pem_file(path: &std::path::Path) -> std::io::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(std::io::Error::other)?;
    if found.is_empty() { Err(std::io::Error::other("no certificate is in it")) } else { Ok(found) }
}
