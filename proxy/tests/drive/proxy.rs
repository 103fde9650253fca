use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;

use cutover_proxy::DriveServer;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::caller::{Caller, LIMIT};
use crate::peer::{Kind, Peer};

/// Another proxy, driven.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) peer: Peer,
    /// After the other proxy, which has files in it.
    pub(crate) folder: TempDir,
    caller: Caller,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peer = Peer::start(kind, folder.path()).await;
        let (stop, running) = run(&peer).await;
        let caller = Caller::of(&peer.drive().control);
        Self { address: peer.address, peer, folder, caller, stop: Some(stop), running }
    }

    /// Another process drives it from now on; nothing happens between `between` and then.
    pub(crate) async fn restart(&mut self, between: impl AsyncFnOnce()) {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(LIMIT, &mut self.running).await.unwrap().unwrap();
        between().await;
        let (stop, running) = run(&self.peer).await;
        (self.stop, self.running) = (Some(stop), running);
    }

    /// The file of ours.
    pub(crate) fn config_path(&self) -> PathBuf {
        let name = if self.peer.kind == Kind::Nginx { "cutover.conf" } else { "cutover.yaml" };
        self.peer.drive().conf_dir.join(name)
    }
}

impl Deref for Proxy {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

async fn run(peer: &Peer) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let server = DriveServer::bind(&peer.driven).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(server.run(async {
        stopped.await.ok();
    }));
    (stop, running)
}
