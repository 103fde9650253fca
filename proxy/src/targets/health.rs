use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_control::{ApplicationProtocol, HealthCheck, Refusal};
use futures_util::future::try_join_all;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::http::request;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::target::Target;
use crate::exchange::RequestBody;

/// The active check of some targets, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Watch {
    _tasks: JoinSet<()>,
}

impl Watch {
    pub(crate) fn start(targets: &[Arc<Target>], protocol: ApplicationProtocol, check: &HealthCheck) -> Self {
        let mut tasks = JoinSet::new();
        for target in targets {
            tasks.spawn(watch(Arc::clone(target), protocol, check.clone()));
        }
        Self { _tasks: tasks }
    }
}

async fn watch(target: Arc<Target>, protocol: ApplicationProtocol, check: HealthCheck) {
    let mut ticks = interval(Duration::from_millis(check.interval_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Both in a row.
    let (mut failures, mut successes) = (0_u32, 0_u32);
    loop {
        ticks.tick().await;
        let asked = Instant::now();
        match check_once(target.address(), protocol, &check, check.timeout_ms).await {
            Ok(()) => {
                (failures, successes) = (0, successes.saturating_add(1));
                let recovered = successes >= check.successes && target.set_healthy(true);
                if target.readmit(asked) || recovered {
                    target.warm_up();
                    tracing::info!(address = %target.address(), "target is healthy again");
                }
            }
            Err(reason) => {
                (failures, successes) = (failures.saturating_add(1), 0);
                if failures >= check.failures && target.set_healthy(false) {
                    target.disconnect();
                    tracing::warn!(address = %target.address(), path = check.path, reason, "target is down");
                }
            }
        }
    }
}

/// One check of each of some targets, all side by side.
///
/// # Errors
///
/// [`Refusal::Unready`] with one that failed it.
pub(crate) async fn look(
    targets: &[cutover_control::Target],
    protocol: ApplicationProtocol,
    check: Option<&HealthCheck>,
) -> Result<(), Refusal> {
    let Some(check) = check else { return Ok(()) };
    let looks = targets.iter().map(async |target| {
        let passed = check_once(target.address, protocol, check, check.first_limit_ms()).await;
        passed.map_err(|found| Refusal::Unready { replica: target.replica.clone(), found })
    });
    try_join_all(looks).await.map(drop)
}

/// One check, on a connection of its own: an application that no longer accepts is not healthy. Says what is wrong.
async fn check_once(
    address: SocketAddr,
    protocol: ApplicationProtocol,
    check: &HealthCheck,
    limit_ms: u64,
) -> Result<(), String> {
    let (path, limit) = (&check.path, Duration::from_millis(limit_ms));
    if check.connect_only {
        let connected = timeout(limit, TcpStream::connect(address)).await;
        let late = |_| format!("no connection within {limit:?}");
        return connected.map_err(late)?.map(drop).map_err(|error| error.to_string());
    }
    let asked = async {
        match protocol {
            ApplicationProtocol::Http1 => ask(address, path).await,
            ApplicationProtocol::H2c => ask_http2(address, path).await,
        }
    };
    match timeout(limit, asked).await {
        Ok(Ok(response)) if response.status().is_success() => Ok(()),
        Ok(Ok(response)) => Err(format!("it answered {}", response.status())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

type Answer = Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>>;

async fn ask(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = question(path).header(HOST, address.to_string()).header(CONNECTION, "close");
    Ok(sender.send_request(request.body(RequestBody::Empty)?).await?)
}

async fn ask_http2(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = question(&format!("http://{address}{path}")).body(RequestBody::Empty)?;
    Ok(sender.send_request(request).await?)
}

fn question(target: &str) -> request::Builder {
    Request::get(target).header(USER_AGENT, concat!("cutover-proxy/", env!("CARGO_PKG_VERSION")))
}
