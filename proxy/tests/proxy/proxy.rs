use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use clap::Parser;
use cutover_control::{Certificate, CertificateStatus, Refusal, Request, Response, ServiceKey};
use cutover_proxy::{Command, Error, ServeOptions, Server};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::caller::{Caller, LIMIT};

/// A running proxy with a state folder of its own.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) options: ServeOptions,
    folder: Arc<TempDir>,
    caller: Caller,
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
        let caller = Caller::of(&options.control);
        Self { address, options, folder, caller, stop: Some(stop), running }
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
}

impl Deref for Proxy {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}
