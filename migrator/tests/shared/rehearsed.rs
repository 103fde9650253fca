//! A rehearsal, and what there is to it: a copy on a server of its own, and a name that leads elsewhere meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use cutover_core::{Phase, Rehearsed};
use cutover_migrator::{Error, Limits, Progress, Protocol, Work, rehearse};
use cutover_secrets::Secret;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Database, LIMIT, Server, phases};

/// On a server of its own.
pub(crate) struct Copy {
    pub(crate) database: Database,
    _server: Server,
}

impl Copy {
    pub(crate) async fn on(server: Server) -> Self {
        Self { database: Database::on(&server).await, _server: server }
    }
}

/// All phases of one version.
pub(crate) fn all(expand: &str, backfill: &str, contract: &str) -> Work {
    phases(&[
        ("001", Phase::Expand, expand),
        ("001", Phase::Backfill, backfill),
        ("001", Phase::Contract, contract),
    ])
}

/// How it ends, and what was told of it.
pub(crate) async fn rehearsed(
    copy: &Secret,
    original: &Database,
    work: &Work,
    hold: Duration,
) -> (Result<(), Error>, Vec<Rehearsed>) {
    rehearsed_and(copy, original, work, hold, async || {}).await
}

/// The same; `then` is done once a lock wasn't given for the first time.
pub(crate) async fn rehearsed_and(
    copy: &Secret,
    original: &Database,
    work: &Work,
    hold: Duration,
    then: impl AsyncFnOnce(),
) -> (Result<(), Error>, Vec<Rehearsed>) {
    let limits = Limits { hold: Some(hold), ..Limits::default() };
    let (progress, mut told) = unbounded_channel();
    let run = async {
        let run = rehearse(copy.into(), (&original.url).into(), work, &limits, &progress);
        let ended = Box::pin(tokio::time::timeout(LIMIT, run)).await.expect("it never ended");
        drop(progress);
        ended
    };
    let listen = async {
        let (mut protocol, mut then) = (Protocol::default(), Some(then));
        while let Some(event) = told.recv().await {
            if matches!(event, Progress::Blocked { .. })
                && let Some(then) = then.take()
            {
                then().await;
            }
            protocol.hear(&event);
        }
        protocol.done()
    };
    tokio::join!(run, listen)
}

/// A name that leads to another server from some moment on.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    leads: watch::Sender<SocketAddr>,
    _carries: AbortOnDropHandle<()>,
}

impl Way {
    /// One that leads to where `url` does.
    pub(crate) async fn to(url: &Secret) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (leads, to) = watch::channel(place(url));
        let carries = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let server = *to.borrow();
                let mut far = TcpStream::connect(server).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
            }
        });
        Self { address, leads, _carries: AbortOnDropHandle::new(carries) }
    }

    /// What connects from now on comes to where `url` leads.
    pub(crate) fn lead_to(&self, url: &Secret) {
        self.leads.send_replace(place(url));
    }

    /// `url`, by this way.
    pub(crate) fn by(&self, url: &Secret) -> Secret {
        Secret::new(url.expose().replace(&place(url).to_string(), &self.address.to_string()))
    }
}

fn place(url: &Secret) -> SocketAddr {
    let (_, rest) = url.expose().split_once('@').unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}
