use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, timeout_at};

use crate::exchange::RequestBody;
use crate::relay::connect;

/// Requests on one connection at once, where the application allows as many. RFC 9113, 6.5.2 recommends that it allow no less.
const MOST: usize = 100;

/// Bytes of a response that an application may send before the client has taken them.
const WINDOW: u32 = 64 << 10;

/// The same for all the responses on a connection: no client that is slow stands in the way of another.
const CONNECTION_WINDOW: u32 = WINDOW * MOST as u32;

/// Bytes of a request's body that wait until the application takes them.
const MAX_UNSENT: usize = 64 << 10;

/// The longest head of a response, as HTTP/2 counts it (RFC 9113, 6.5.2).
const MAX_HEAD: u32 = 64 << 10;

/// The silence on a connection with requests after which the application is asked whether it is still there, and how
/// long its answer may take. Servers of gRPC end a connection on which they are asked more often than every 5 minutes.
const PING_EVERY: Duration = Duration::from_secs(330);
const PING_LIMIT: Duration = Duration::from_secs(20);

/// The connections of HTTP/2 to one port of a target, those of each worker apart. They are kept open until the target is displaced
/// or down, or closes them itself.
#[derive(Debug)]
pub(crate) struct Streams {
    address: SocketAddr,
    by_worker: Box<[Connections]>,
}

#[derive(Debug, Default)]
struct Connections {
    /// Nobody ever waits for such a lock but one who clears.
    open: Mutex<Vec<Connection>>,
    /// Who opens one does it for all that come meanwhile.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<RequestBody>,
    load: Arc<Load>,
}

/// How many requests a connection has, and may have.
#[derive(Debug)]
struct Load {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A connection with room for a request.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) sender: SendRequest<RequestBody>,
    pub(crate) place: Place,
    /// Whether the connection was there before.
    pub(crate) reused: bool,
}

/// The room that a request has on a connection until it has been answered.
#[derive(Debug)]
pub(crate) struct Place(Arc<Load>);

impl Streams {
    pub(crate) fn new(address: SocketAddr, workers: usize) -> Self {
        Self { address, by_worker: (0..workers).map(|_| Connections::default()).collect() }
    }

    /// Room on a connection of a worker, which is opened where none has any; to be called on the worker.
    ///
    /// # Errors
    ///
    /// Of kind [`io::ErrorKind::TimedOut`] when the target does not accept within the limit.
    pub(crate) async fn stream(&self, worker: usize, limit: Duration) -> io::Result<Stream> {
        let Some(connections) = self.by_worker.get(worker) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if let Some(stream) = connections.find() {
            return Ok(stream);
        }
        let deadline = Instant::now() + limit;
        let _opening = timeout_at(deadline, connections.opening.lock()).await?;
        if let Some(stream) = connections.find() {
            return Ok(stream);
        }
        let connection = open(self.address, deadline.saturating_duration_since(Instant::now())).await?;
        let stream = connection.stream(false);
        connections.lock().push(connection);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Nothing new goes over the connections that are open now: each closes once what it has in flight has ended.
    pub(crate) fn clear(&self) {
        self.by_worker.iter().for_each(|connections| connections.lock().clear());
    }
}

impl Connections {
    /// Room on one that is open as far as is known.
    fn find(&self) -> Option<Stream> {
        let mut open = self.lock();
        open.retain(|connection| !connection.sender.is_closed());
        open.iter().find_map(|connection| connection.stream(true))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn stream(&self, reused: bool) -> Option<Stream> {
        let most = self.load.most.load(Relaxed);
        let one_more = |now: usize| (now < most).then_some(now + 1);
        self.load.now.fetch_update(AcqRel, Relaxed, one_more).ok()?;
        Some(Stream { sender: self.sender.clone(), place: Place(Arc::clone(&self.load)), reused })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, AcqRel);
    }
}

async fn open(address: SocketAddr, limit: Duration) -> io::Result<Connection> {
    let stream = connect(address, limit).await?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_UNSENT)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let load = Arc::new(Load { now: AtomicUsize::new(0), most: AtomicUsize::new(MOST) });
    let told = Arc::clone(&load);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        std::future::poll_fn(|cx| {
            // With each request that goes out: what the application allows comes first on a connection, and may change.
            told.most.store(connection.current_max_send_streams().min(MOST), Relaxed);
            connection.as_mut().poll(cx).map(drop)
        })
        .await;
    });
    Ok(Connection { sender, load })
}
