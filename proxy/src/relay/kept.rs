use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::targets::{IDLE_LIMIT, KEEPALIVE, MAX_IDLE};

/// The connections to one port of a target that the relay keeps open, those of each worker apart.
#[derive(Debug)]
pub(crate) struct Kept {
    /// By worker, the longest idle first. Nobody ever waits for such a lock but one who clears.
    idle: Box<[Mutex<VecDeque<Idle>>]>,
}

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    since: Instant,
}

impl Kept {
    pub(crate) fn new(workers: usize) -> Self {
        Self { idle: (0..workers).map(|_| Mutex::default()).collect() }
    }

    /// A worker's connection that is still open as far as is known, the most recently used first.
    pub(crate) fn take(&self, worker: usize) -> Option<TcpStream> {
        let mut idle = self.of(worker)?;
        while let Some(Idle { stream, since }) = idle.pop_back() {
            if is_quiet(&stream) && since.elapsed() <= IDLE_LIMIT {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection on which the last answer has ended.
    pub(crate) fn keep(&self, worker: usize, stream: TcpStream) {
        let Some(mut idle) = self.of(worker) else { return };
        let since = Instant::now();
        let spent = |oldest: &Idle| {
            since.saturating_duration_since(oldest.since) > IDLE_LIMIT || !is_quiet(&oldest.stream)
        };
        while idle.len() >= MAX_IDLE || idle.front().is_some_and(spent) {
            idle.pop_front();
        }
        idle.push_back(Idle { stream, since });
    }

    /// Closes all.
    pub(crate) fn clear(&self) {
        self.idle.iter().for_each(|idle| lock(idle).clear());
    }

    fn of(&self, worker: usize) -> Option<MutexGuard<'_, VecDeque<Idle>>> {
        self.idle.get(worker).map(lock)
    }
}

/// A new connection to an application.
///
/// # Errors
///
/// Of kind [`io::ErrorKind::TimedOut`] when it is not accepted within the limit.
pub(crate) async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(stream)
}

/// Whether nothing has come, neither an end nor what nobody has asked for. Costs no call of the system where it is so.
fn is_quiet(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn lock(idle: &Mutex<VecDeque<Idle>>) -> MutexGuard<'_, VecDeque<Idle>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
