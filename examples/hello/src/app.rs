//! What the application answers.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_util::task::TaskTracker;

use crate::settings::Settings;

type Body = BoxBody<Bytes, hyper::Error>;

/// One replica of the application.
pub(crate) struct App {
    settings: Settings,
    /// The version as a header: every answer names it.
    version: HeaderValue,
    replica: String,
    started: Instant,
    greeted: AtomicU64,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Upgraded connections go on here, so that a drain waits for them.
    upgraded: TaskTracker,
}

impl App {
    pub(crate) fn new(settings: Settings, upgraded: TaskTracker) -> Result<Self> {
        let version = HeaderValue::from_str(&settings.version)
            .with_context(|| format!("VERSION is {:?}, which can't be a header", settings.version))?;
        let replica =
            std::fs::read_to_string("/proc/sys/kernel/hostname").context("can't read the host name")?;
        Ok(Self {
            settings,
            version,
            replica: replica.trim().to_owned(),
            started: Instant::now(),
            greeted: AtomicU64::new(0),
            client: Client::builder(TokioExecutor::new()).build_http(),
            upgraded,
        })
    }

    pub(crate) fn version(&self) -> &str {
        &self.settings.version
    }

    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut response = match request.uri().path() {
            "/" => self.greet().await,
            "/up" if self.is_ready() && self.model("/up").await.is_ok() => text(StatusCode::OK, "ready\n"),
            "/up" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/alive" if self.is_dead() => text(StatusCode::INTERNAL_SERVER_ERROR, "dead\n"),
            "/alive" => text(StatusCode::OK, "alive\n"),
            "/embed" => self.embed(request).await,
            "/slow" => {
                let wait = milliseconds(&query);
                tokio::time::sleep(wait).await;
                text(StatusCode::OK, format!("slept {wait:?}\n"))
            }
            "/stream" => Response::new(tokens(number(&query, "n").unwrap_or(10), milliseconds(&query))),
            "/echo" => Response::new(request.into_body().boxed()),
            "/ws" => self.upgrade(request),
            _ => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        };
        response.headers_mut().insert("x-version", self.version.clone());
        response
    }

    async fn greet(&self) -> Response<Body> {
        let greeted = self.greeted.fetch_add(1, Ordering::Relaxed);
        if is_in_share(greeted, self.settings.delay_rate) {
            tokio::time::sleep(self.settings.delay).await;
        }
        if self.started.elapsed() >= self.settings.fail_after && is_in_share(greeted, self.settings.fail_rate)
        {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "failing on purpose\n");
        }
        let by = match self.model("/").await {
            Ok(None) => String::new(),
            Ok(Some(model)) => format!(" by model {model}"),
            Err(error) => return text(StatusCode::BAD_GATEWAY, format!("no model answers: {error:#}\n")),
        };
        text(StatusCode::OK, format!("hello from {} on {}{by}\n", self.settings.version, self.replica))
    }

    /// The version of the model that its server answers with; none where there is no such server.
    async fn model(&self, path: &str) -> Result<Option<String>> {
        let Some(server) = &self.settings.model_server else { return Ok(None) };
        let uri = format!("http://{server}{path}").parse().context("MODEL_SERVER is no host:port")?;
        let answer = self.client.get(uri).await?;
        anyhow::ensure!(answer.status().is_success(), "{}", answer.status());
        let version = answer.headers().get("x-version").context("it names no version")?.to_str()?.to_owned();
        // Read to its end, so that the connection can be used again.
        answer.into_body().collect().await?;
        Ok(Some(version))
    }

    fn is_ready(&self) -> bool {
        self.settings.ready_after.is_some_and(|after| self.started.elapsed() >= after)
    }

    fn is_dead(&self) -> bool {
        self.settings.dead_after.is_some_and(|after| self.started.elapsed() >= after)
    }

    async fn embed(&self, request: Request<Incoming>) -> Response<Body> {
        if self.started.elapsed() < self.settings.model_after {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the model is not loaded\n");
        }
        let Ok(body) = request.into_body().collect().await else {
            return text(StatusCode::BAD_REQUEST, "the text broke off\n");
        };
        let numbers = embedding(&body.to_bytes(), self.settings.model_dimensions);
        let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:.6}")).collect();
        text(StatusCode::OK, format!("{{\"embedding\": [{}]}}", numbers.join(", ")))
    }

    /// Switches to whatever protocol was asked for, and sends every byte back.
    fn upgrade(&self, mut request: Request<Incoming>) -> Response<Body> {
        let Some(protocol) = request.headers().get(UPGRADE).cloned() else {
            return text(StatusCode::UPGRADE_REQUIRED, "this needs an Upgrade header\n");
        };
        let upgrade = hyper::upgrade::on(&mut request);
        self.upgraded.spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
                // The peer may leave at any time: that is how an echo ends.
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            }
        });
        let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, protocol);
        response
    }
}

/// A text as a vector by the hashing trick: so often each of its trigrams comes, at the place that the hash (FNV-1a) of that
/// says; of length 1.
fn embedding(text: &[u8], dimensions: u64) -> Vec<f64> {
    let mut counts = vec![0.0_f64; usize::try_from(dimensions).unwrap_or(usize::MAX)];
    for trigram in text.windows(3) {
        let hash = trigram.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let place = usize::try_from(hash % dimensions.max(1)).unwrap_or(usize::MAX);
        if let Some(count) = counts.get_mut(place) {
            *count += 1.0;
        }
    }
    let length = counts.iter().map(|count| count * count).sum::<f64>().sqrt();
    if length > 0.0 {
        counts.iter_mut().for_each(|count| *count /= length);
    }
    counts
}

/// Whether number `n` of a sequence is in a share of it, spread evenly: of a quarter, every fourth.
fn is_in_share(n: u64, share: f64) -> bool {
    let until = |n: u64| (n as f64 * share).floor();
    until(n + 1) > until(n)
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

/// A chunked body of `count` tokens, as a language model would answer.
fn tokens(count: u64, pause: Duration) -> Body {
    let tokens = stream::unfold(0, move |sent| async move {
        if sent == count {
            return None;
        }
        tokio::time::sleep(pause).await;
        Some((Ok(Frame::data(format!("token {sent}\n").into())), sent + 1))
    });
    BodyExt::boxed(StreamBody::new(tokens))
}

fn milliseconds(query: &str) -> Duration {
    Duration::from_millis(number(query, "ms").unwrap_or(100))
}

fn number<T: FromStr>(query: &str, name: &str) -> Option<T> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1.parse().ok()
}
