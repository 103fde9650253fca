use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_control::{
    Call, Canary, Epoch, LineBuffer, Refusal, Reply, Request, Response, ServiceKey, ServiceStatus, Switch,
    Target, TargetStatus, Timeouts, decode_reply,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// The longest that a test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Who makes calls at a control socket, as the switcher does.
pub(crate) struct Caller {
    control: PathBuf,
}

impl Caller {
    pub(crate) fn of(control: &Path) -> Self {
        Self { control: control.to_owned() }
    }

    /// A proxy that has just handed over may close the connection: then the call is made again, as by the switcher.
    pub(crate) async fn call(&self, request: Request) -> Reply {
        let line = Call::new(request).to_line().unwrap();
        for _ in 0..2 {
            if let Some(answer) = say(&self.control, &line).await {
                return decode_reply(&answer).unwrap();
            }
        }
        decode_reply(&self.say(&line).await).unwrap()
    }

    /// Sends a line as it is and gives the line that is answered.
    pub(crate) async fn say(&self, line: &[u8]) -> Vec<u8> {
        say(&self.control, line).await.expect("the control connection ended without an answer")
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

    pub(crate) async fn weigh(&self, canary: Canary) {
        self.weigh_as(canary).await.unwrap();
    }

    pub(crate) async fn weigh_as(&self, canary: Canary) -> Result<String, Refusal> {
        self.call(Request::Canary(Box::new(canary))).await.map(|response| match response {
            Response::Weighted { active } => active,
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
                sleep(Duration::from_millis(10)).await;
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
        let mut found = None;
        let waiting = async {
            loop {
                let status = found.insert(self.status().await);
                if wished(status) {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        match timeout(LIMIT, waiting).await {
            Ok(()) => found.unwrap(),
            Err(_) => panic!("the status never became as wished: {found:?}"),
        }
    }
}

/// Sends a line to a control socket as it is; gives the line that is answered, where there is one.
pub(crate) async fn say(control: &Path, line: &[u8]) -> Option<Vec<u8>> {
    let answering = async {
        let mut socket = UnixStream::connect(control).await.unwrap();
        socket.write_all(line).await.ok()?;
        let mut lines = LineBuffer::default();
        loop {
            if let Some(line) = lines.next_line().unwrap() {
                return Some(line);
            }
            let mut piece = [0; 4096];
            let length = socket.read(&mut piece).await.unwrap_or_default();
            if length == 0 {
                return None;
            }
            lines.extend(&piece[..length]);
        }
    };
    timeout(LIMIT, answering).await.unwrap()
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

/// A canary of the default service that holds for longer than any test.
pub(crate) fn canary(sequence: u64, weight: u16, targets: &[Target]) -> Canary {
    let switch = switch(sequence, targets);
    Canary { switch, weight, hold_ms: 600_000, sticky: false, choose: None, mirror: 0 }
}
