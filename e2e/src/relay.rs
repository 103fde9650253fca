//! A TCP relay that delays: a host far away, for what is measured on one machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Chunks under way in one direction: enough that the delay costs latency and no throughput.
const UNDER_WAY: usize = 4096;

/// A relay. It ends when this is dropped.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Relays from loopback to `target`, and holds back what goes either way for `delay`.
    ///
    /// # Errors
    /// No free port.
    pub async fn start(target: SocketAddr, delay: Duration) -> anyhow::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, target, delay).await
    }

    /// The same from another address of this machine.
    ///
    /// # Errors
    /// An address that isn't this machine's, or no free port.
    pub async fn start_at(at: Ipv4Addr, target: SocketAddr, delay: Duration) -> anyhow::Result<Self> {
        Self::start_on((at, 0).into(), target, delay).await
    }

    /// The same from an address and a port of this machine.
    ///
    /// # Errors
    /// An address that isn't this machine's, or a port that isn't free.
    pub async fn start_on(at: SocketAddr, target: SocketAddr, delay: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::join!(late(near_in, far_out, delay), late(far_in, near_out, delay));
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn late(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count) = from.read(&mut buffer).await {
            if count == 0 || sender.send((Instant::now() + delay, buffer[..count].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let write = async {
        while let Some((due, chunk)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
