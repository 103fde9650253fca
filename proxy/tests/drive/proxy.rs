use std::net::SocketAddr;
use std::time::Duration;

use cutover_control::{
    Call, Epoch, LineBuffer, Refusal, Reply, Request, Response, ServiceKey, ServiceStatus, Switch, Target,
    TargetStatus, Timeouts, decode_reply,
};
use cutover_proxy::DriveServer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::peer::{Kind, Peer};

/// The longest that a test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Another proxy, driven.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) peer: Peer,
    /// After the other proxy, which has files in it.
    pub(crate) folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peer = Peer::start(kind, folder.path()).await;
        let (stop, running) = run(&peer).await;
        Self { address: peer.address, peer, folder, stop: Some(stop), running }
    }

    /// Another process drives it from now on; nothing happens between `between` and then.
    pub(crate) async fn restart(&mut self, between: impl AsyncFnOnce()) {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(LIMIT, &mut self.running).await.unwrap().unwrap();
        between().await;
        let (stop, running) = run(&self.peer).await;
        (self.stop, self.running) = (Some(stop), running);
    }

    pub(crate) async fn call(&self, request: Request) -> Reply {
        let line = Call::new(request).to_line().unwrap();
        let answering = async {
            let mut socket = UnixStream::connect(&self.peer.drive().control).await.unwrap();
            socket.write_all(&line).await.unwrap();
            let mut lines = LineBuffer::default();
            loop {
                if let Some(line) = lines.next_line().unwrap() {
                    return decode_reply(&line).unwrap();
                }
                let mut piece = [0; 4096];
                let length = socket.read(&mut piece).await.unwrap();
                assert!(length > 0, "the control connection ended without an answer");
                lines.extend(&piece[..length]);
            }
        };
        timeout(LIMIT, answering).await.unwrap()
    }

    /// Switches the default service; the sequence also numbers the deployment.
    pub(crate) async fn switch(&self, sequence: u64, targets: &[Target]) -> Option<String> {
        self.switch_as(switch(sequence, targets)).await.unwrap()
    }

    pub(crate) async fn switch_as(&self, switch: Switch) -> Result<Option<String>, Refusal> {
        self.call(Request::Switch(Box::new(switch))).await.map(|response| match response {
            Response::Switched { previous } => previous,
            other => panic!("{other:?}"),
        })
    }

    pub(crate) async fn restore(&self, sequence: u64, deployment: &str) -> Result<Option<String>, Refusal> {
        let request =
            Request::Restore { key: key(), epoch: epoch(sequence), deployment: deployment.to_owned() };
        self.call(request).await.map(|response| match response {
            Response::Restored { serving } => serving,
            other => panic!("{other:?}"),
        })
    }

    pub(crate) async fn retire(
        &self,
        sequence: u64,
        deployment: &str,
    ) -> Result<(Vec<Target>, Vec<TargetStatus>), Refusal> {
        let request =
            Request::Retire { key: key(), epoch: epoch(sequence), deployment: deployment.to_owned() };
        self.call(request).await.map(|response| match response {
            Response::Retired { serving, draining } => (serving, draining),
            other => panic!("{other:?}"),
        })
    }

    /// Retires until nothing is in flight on what was displaced.
    pub(crate) async fn retire_drained(&self, sequence: u64, deployment: &str) {
        let retired = async {
            while !self.retire(sequence, deployment).await.unwrap().1.is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, retired).await.expect("it never drained");
    }

    /// The only service.
    pub(crate) async fn status(&self) -> ServiceStatus {
        match self.call(Request::Status).await.unwrap() {
            Response::Status { mut services, .. } => services.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the status of the only service is as wished.
    pub(crate) async fn until(&self, wished: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
        let end = Instant::now() + LIMIT;
        loop {
            let status = self.status().await;
            if wished(&status) {
                return status;
            }
            assert!(Instant::now() < end, "the status never became as wished: {status:?}");
            sleep(Duration::from_millis(20)).await;
        }
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

pub(crate) fn key() -> ServiceKey {
    ServiceKey::new("production", "app")
}

pub(crate) fn epoch(sequence: u64) -> Epoch {
    Epoch { journal: "journal-1".to_owned(), sequence }
}

/// A switch of the default service to the deployment `d<sequence>`.
pub(crate) fn switch(sequence: u64, targets: &[Target]) -> Switch {
    let (deployment, release) = (format!("d{sequence}"), format!("r{sequence}"));
    Switch {
        timeouts: Timeouts::of_response(10_000),
        drain_ms: 20_000,
        ..Switch::new(key(), epoch(sequence), &deployment, &release, targets.to_vec())
    }
}
