use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use cutover_control::{
    Call, Certificate, CertificateStatus, Epoch, LineBuffer, Refusal, Reply, Request, Response, ServiceKey,
    ServiceStatus, Switch, Target, TargetStatus, Timeouts, decode_reply,
};
use cutover_proxy::{Command, Error, ServeOptions, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The longest that a test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A running proxy with a state folder of its own.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) options: ServeOptions,
    folder: Arc<TempDir>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), Error>>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        Self::start_with_options(|_| {}).await
    }

    /// One that answers Prometheus too, where its options say.
    pub(crate) async fn start_answering() -> Self {
        Self::start_with_options(|options| options.metrics = Some(SocketAddr::from(([127, 0, 0, 1], 0))))
            .await
    }

    /// One that speaks TLS too.
    pub(crate) async fn start_secured() -> Self {
        Self::start_with_options(|options| options.https = Some(SocketAddr::from(([127, 0, 0, 1], 0)))).await
    }

    /// One with options other than the usual ones.
    pub(crate) async fn start_with_options(change: impl FnOnce(&mut ServeOptions)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let words = ["cutover-proxy", "serve", "--http", "127.0.0.1:0", "--workers", "2"];
        let Command::Serve(mut options) = Command::parse_from(words) else { panic!("it does not serve") };
        options.control = folder.path().join("run/control.sock");
        options.state = folder.path().join("state");
        change(&mut options);
        Self::start_with(*options, folder).await
    }

    async fn start_with(mut options: ServeOptions, folder: Arc<TempDir>) -> Self {
        let server = Server::bind(&options).await.unwrap();
        options.metrics = server.metrics_address();
        options.https = server.https_address();
        let address = server.http_address();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            stopped.await.ok();
        }));
        Self { address, options, folder, stop: Some(stop), running }
    }

    /// Where it speaks TLS.
    pub(crate) fn https(&self) -> SocketAddr {
        self.options.https.unwrap()
    }

    /// Asks the proxy to end; the future is over when it has.
    pub(crate) fn end(&mut self) -> impl Future<Output = ()> + use<'_> {
        self.stop.take().unwrap().send(()).unwrap();
        async { timeout(LIMIT, &mut self.running).await.unwrap().unwrap().unwrap() }
    }

    /// Another proxy that takes over from this one, which goes on until it has nothing in flight.
    pub(crate) async fn successor(&self) -> Self {
        self.successor_with_options(|_| {}).await
    }

    /// The same with options other than its own.
    pub(crate) async fn successor_with_options(&self, change: impl FnOnce(&mut ServeOptions)) -> Self {
        let mut options = ServeOptions { take_over: true, ..self.options.clone() };
        change(&mut options);
        Self::start_with(options, Arc::clone(&self.folder)).await
    }

    /// Waits until the proxy has ended by itself.
    pub(crate) async fn ended(&mut self) {
        timeout(LIMIT, &mut self.running).await.unwrap().unwrap().unwrap();
    }

    /// Another process with the same state, on another port.
    pub(crate) async fn restart(mut self) -> Self {
        self.end().await;
        Self::start_with(self.options.clone(), Arc::clone(&self.folder)).await
    }

    /// A proxy that has just handed over may close the connection: then the call is made again, as by the switcher.
    pub(crate) async fn call(&self, request: Request) -> Reply {
        let line = Call::new(request).to_line().unwrap();
        for _ in 0..2 {
            if let Some(answer) = say(&self.options.control, &line).await {
                return decode_reply(&answer).unwrap();
            }
        }
        decode_reply(&self.say(&line).await).unwrap()
    }

    /// Sends a line as it is and gives the line that is answered.
    pub(crate) async fn say(&self, line: &[u8]) -> Vec<u8> {
        say(&self.options.control, line).await.expect("the control connection ended without an answer")
    }

    /// Switches the default service; the sequence also numbers the deployment.
    pub(crate) async fn switch(&self, sequence: u64, targets: &[Target]) -> Option<String> {
        match self.call(Request::Switch(Box::new(switch(sequence, targets)))).await.unwrap() {
            Response::Switched { previous } => previous,
            other => panic!("{other:?}"),
        }
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

    /// Has a service in production show a certificate.
    pub(crate) async fn certify(
        &self,
        service: &str,
        certificate: Certificate,
    ) -> Result<CertificateStatus, Refusal> {
        let request = Request::Certify { key: ServiceKey::new("production", service), certificate };
        self.call(request).await.map(|response| match response {
            Response::Certified { certificate } => certificate,
            other => panic!("{other:?}"),
        })
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
        let waiting = async {
            loop {
                let status = self.status().await;
                if wished(&status) {
                    return status;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, waiting).await.expect("the status never became as wished")
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
        drain_ms: 10_000,
        ..Switch::new(key(), epoch(sequence), &deployment, &release, targets.to_vec())
    }
}
