//! A way to a database that only the hosts reach: a port of this machine's loopback interface, whose connections a host carries on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cutover_host::{Host, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How long a host may take to reach the database.
const LIMIT: Duration = Duration::from_secs(10);

/// How long it stays open once nobody needs it: for whoever takes leave, or ends what was left in mid-statement.
const LINGER: Duration = Duration::from_secs(15);

/// The way. It ends a moment after this is dropped.
#[derive(Debug)]
pub(crate) struct Tunnel {
    address: SocketAddr,
    _open: oneshot::Sender<()>,
}

/// What it leads to, as the host knows it.
#[derive(Debug)]
struct Far {
    host: Arc<Host>,
    name: String,
    port: u16,
}

impl Far {
    async fn connect(&self) -> Result<Stream, cutover_host::Error> {
        self.host.connect_name(&self.name, self.port, LIMIT).await
    }
}

impl Tunnel {
    /// Opens it by way of `host`, to `port` of what that knows by `name`, and sees that somebody listens there.
    ///
    /// # Errors
    /// A host that can't be reached, that forwards nothing, or from which nobody listens there.
    pub(crate) async fn open(host: Arc<Host>, name: String, port: u16) -> Result<Self, cutover_host::Error> {
        let far = Far { host, name, port };
        // The first connection is there already.
        let first = far.connect().await?;
        let failed = |source| cutover_host::Error::Io {
            host: "this machine".to_owned(),
            doing: "listening for the database".to_owned(),
            source,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (open, closed) = oneshot::channel();
        tokio::spawn(async move {
            let mut carried = JoinSet::new();
            tokio::select! {
                () = carry(&listener, far.into(), Some(first), &mut carried) => {}
                () = async {
                    // It is only ever dropped.
                    let _ = closed.await;
                    tokio::time::sleep(LINGER).await;
                } => {}
            }
        });
        Ok(Self { address, _open: open })
    }

    /// Where it begins.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Carries on what connects, for as long as this is waited for.
async fn carry(listener: &TcpListener, far: Arc<Far>, mut first: Option<Stream>, carried: &mut JoinSet<()>) {
    while let Ok((near, _)) = listener.accept().await {
        let (far, first) = (Arc::clone(&far), first.take());
        carried.spawn(async move {
            let stream = match first {
                Some(stream) => Ok(stream),
                None => far.connect().await,
            };
            match stream {
                Ok(stream) => relay(near, stream).await,
                // Whoever has connected sees that nobody answers.
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no way to the database")
                }
            }
        });
    }
}

async fn relay(mut near: TcpStream, mut far: Stream) {
    let _ = near.set_nodelay(true);
    // However it ends, both sides see it.
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}
