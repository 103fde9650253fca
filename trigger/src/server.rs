//! Hooks over HTTP/1.1. TLS is for whoever stands in front.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use cutover_bus::Asked;
use cutover_core::Timestamp;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, refused};
use crate::delivery::Delivery;
use crate::hook::Heard;
use crate::refusal::Refusal;
use crate::triggers::Limits;
use crate::{Desk, Error, Hooks};

/// How long a client may take to send its request's head.
const HEAD: Duration = Duration::from_secs(5);
/// How large that may be, in bytes.
const HEAD_SIZE: usize = 32 << 10;
/// How long a connection may take in all. There is one request on each. GitHub waits for 10 s for an answer.
const CONNECTION: Duration = Duration::from_secs(20);
/// How long accepting rests after it failed: the usual reason is too many open files, which passes.
const REST: Duration = Duration::from_millis(100);
/// How long requests have that are there when the program is told to stop.
const LAST: Duration = Duration::from_secs(10);

/// What is served, at an address.
pub struct Server {
    listener: TcpListener,
    limits: Limits,
}

/// What answers need.
struct Reception {
    hooks: Hooks,
    desk: Desk,
    limits: Limits,
}

impl Server {
    /// Listens at an address; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn bind(address: SocketAddr, limits: Limits) -> Result<Self, Error> {
        let listener = TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })?;
        Ok(Self { listener, limits })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves until it is told to stop, and until what is there then is answered.
    pub async fn serve(self, hooks: Hooks, desk: Desk, stop: CancellationToken) {
        let Self { listener, limits } = self;
        tracing::info!(address = listener.local_addr().ok().map(tracing::field::display), "hooks are served");
        let reception = Arc::new(Reception { hooks, desk, limits });
        let mut connections = JoinSet::new();
        let most = usize::try_from(limits.connections).unwrap_or(usize::MAX);
        loop {
            while connections.len() >= most && !stop.is_cancelled() {
                tokio::select! { _ = connections.join_next() => {}, () = stop.cancelled() => {} }
            }
            let accepted =
                tokio::select! { accepted = listener.accept() => accepted, () = stop.cancelled() => break };
            match accepted {
                Ok((stream, _)) => {
                    let served = serve(stream, Arc::clone(&reception));
                    connections.spawn(tokio::time::timeout(CONNECTION, served));
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection to the hooks");
                    tokio::time::sleep(REST).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        let rest = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST, rest).await.is_err() {
            tracing::warn!("some deliveries are not answered: their senders send them again");
        }
    }
}

async fn serve(stream: TcpStream, reception: Arc<Reception>) {
    let answer = service_fn(|request| {
        let reception = Arc::clone(&reception);
        async move { Ok::<_, Infallible>(reception.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_SIZE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the hooks was cut short");
    }
}

impl Reception {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        if path == "/healthz" {
            let (status, text) = if self.desk.is_open() {
                (StatusCode::OK, "requests are stored\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "the bus is away\n")
            };
            let mut response = Response::new(Full::new(Bytes::from(text)));
            *response.status_mut() = status;
            return response;
        }
        let name = path.strip_prefix("/hooks/").unwrap_or_default();
        match self.take(name, request).await {
            Ok(Answer::Requests(ids)) => Answer::Requests(ids).with(StatusCode::ACCEPTED),
            Ok(answer) => {
                self.hooks.count(name, "ignored");
                answer.with(StatusCode::OK)
            }
            Err(refusal) => {
                if self.hooks.get(name).is_some() {
                    tracing::warn!(source = name, error = %refusal, "a delivery is refused");
                }
                self.hooks.count(name, refusal.status().as_str());
                refused(&refusal)
            }
        }
    }

    /// Takes a delivery in: once it is answered with the ids of requests, those are stored.
    async fn take(&self, name: &str, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let hook = self.hooks.get(name).ok_or(Refusal::NoSource)?;
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let (head, body) = request.into_parts();
        let body = self.whole(body).await?;
        let delivery = Delivery { headers: &head.headers, body: &body };
        let requests = match hook.hear(&delivery, now(), Instant::now())? {
            Heard::Requests(requests) => requests,
            Heard::Nothing(why) => {
                tracing::info!(source = name, why, "nothing is asked for");
                return Ok(Answer::Ignored(why));
            }
        };
        let mut ids = Vec::with_capacity(requests.len());
        for request in &requests {
            let asked = self.desk.ask(request).await?;
            let (id, occasion, service) = (request.id(), &request.occasion, &request.key.service);
            let (word, destination) =
                (if asked == Asked::New { "accepted" } else { "repeated" }, &request.key.destination);
            tracing::info!(request = id, %service, %destination, %occasion, "a deployment is asked for: {word}");
            self.hooks.count(name, word);
            ids.push(id);
        }
        Ok(Answer::Requests(ids))
    }

    /// A body that is no larger than it may be.
    async fn whole(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let too_large = Refusal::TooLarge(self.limits.body);
        if body.size_hint().lower() > self.limits.body {
            return Err(too_large);
        }
        let most = usize::try_from(self.limits.body).unwrap_or(usize::MAX);
        match Limited::new(body, most).collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large),
            Err(error) => Err(Refusal::NoBody(error.to_string())),
        }
    }
}

/// The time by this machine's clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
