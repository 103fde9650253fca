//! The Docker Engine of a host: one HTTP client whose connections are streams of the transport.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;
use tower_service::Service;

use crate::local::Local;
use crate::ssh::Ssh;
use crate::transport::Transport;
use crate::{Error, Stream};

/// Where the Engine of a host behind SSH listens.
pub(crate) const SOCKET: &str = "/var/run/docker.sock";

/// The limit on the Engine's answer to a request, up to the head of the response.
const ANSWER_SECONDS: u64 = 120;

/// The limit on agreeing on a version.
const AGREEING: Duration = Duration::from_secs(30);

/// Docker's own bridge from a session to the Engine, for hosts that forward nothing.
const DIAL_STDIO: [&str; 3] = ["docker", "system", "dial-stdio"];

/// A client of a host's Engine and how it gets there.
pub(crate) struct Engine {
    pub(crate) docker: Docker,
    pub(crate) route: Route,
}

/// The way to the Engine's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// A connection to the socket.
    Socket(PathBuf),
    /// A `docker system dial-stdio` per connection.
    DialStdio,
}

impl Route {
    /// A connection to the Engine.
    pub(crate) async fn open(&self, transport: &Transport) -> Result<Stream, Error> {
        match (self, transport) {
            (Self::Socket(path), transport) => transport.connect_unix(path).await,
            (Self::DialStdio, Transport::Ssh(ssh)) => ssh.pipe(&DIAL_STDIO).await,
            (Self::DialStdio, Transport::Local(local)) => local.connect_unix(&local.docker_socket).await,
        }
    }
}

impl Engine {
    /// Finds the way to the Engine and agrees on a version of its API.
    pub(crate) async fn connect(transport: &Arc<Transport>) -> Result<Self, Error> {
        let route = match transport.as_ref() {
            Transport::Local(local) => local_route(local).await?,
            Transport::Ssh(ssh) => ssh_route(ssh).await?,
        };
        let host = transport.name();
        let doing = "agreeing on a version";
        let failed = |source| Error::Docker { host: host.clone(), doing: doing.into(), source };
        let docker =
            client(Connector { transport: Arc::clone(transport), route: route.clone() }).map_err(failed)?;
        let late =
            |_| Error::Timeout { host: host.clone(), doing: format!("Docker, {doing},"), limit: AGREEING };
        match timeout(AGREEING, docker.negotiate_version()).await.map_err(late)? {
            Ok(docker) => Ok(Self { docker, route }),
            Err(error) => {
                if let (Transport::Ssh(ssh), Route::DialStdio) = (transport.as_ref(), &route) {
                    why_dial_stdio_fails(ssh).await?;
                }
                Err(failed(error))
            }
        }
    }
}

async fn local_route(local: &Local) -> Result<Route, Error> {
    let socket = local.docker_socket.clone();
    match local.connect_unix(&socket).await {
        Ok(_) => Ok(Route::Socket(socket)),
        Err(Error::NotListening { host, .. }) => Err(Error::NoDocker { host, reason: no_engine(&socket) }),
        Err(Error::Io { host, source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(Error::DockerDenied { host, reason: not_allowed(&socket, "this user") })
        }
        Err(error) => Err(error),
    }
}

/// sshd gives one and the same answer to a socket that is absent, to one that may not be opened, and where it forwards
/// nothing; so after a refusal the socket is looked at.
async fn ssh_route(ssh: &Ssh) -> Result<Route, Error> {
    let socket = Path::new(SOCKET);
    match ssh.connect_unix(socket).await {
        Ok(_) => return Ok(Route::Socket(socket.into())),
        Err(Error::NotListening { .. }) => {}
        Err(error) => return Err(error),
    }
    let look = r#"test -S "$1" || exit 3; test -r "$1" && test -w "$1" || exit 4"#;
    let host = ssh.address().to_string();
    match ssh.run(&["sh", "-c", look, "sh", SOCKET], ssh.limit()).await?.status {
        3 => Err(Error::NoDocker { host, reason: no_engine(socket) }),
        4 => Err(Error::DockerDenied { host, reason: not_allowed(socket, &ssh.address().user) }),
        _ => Ok(Route::DialStdio),
    }
}

/// A `dial-stdio` that fails does so on its standard error, which a byte stream doesn't carry: `docker version` says it.
async fn why_dial_stdio_fails(ssh: &Ssh) -> Result<(), Error> {
    let output = ssh.run(&["docker", "version"], ssh.limit()).await?;
    if output.success() {
        return Ok(());
    }
    let reason = format!("`docker version` says there: {}", output.last_line());
    Err(Error::NoDocker { host: ssh.address().to_string(), reason })
}

fn no_engine(socket: &Path) -> String {
    format!(
        "nothing listens on {}; install Docker Engine (apt-get install docker.io) or start it (systemctl start docker)",
        socket.display()
    )
}

fn not_allowed(socket: &Path, user: &str) -> String {
    format!(
        "{user} may not use {}; add that user to the group that owns it (usermod -aG docker …)",
        socket.display()
    )
}

fn client(connector: Connector) -> Result<Docker, bollard::errors::Error> {
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let transport = move |request: BollardRequest| {
        let response = client.request(request);
        async move { response.await.map_err(bollard::errors::Error::from) }
    };
    Docker::connect_with_custom_transport(
        transport,
        Some("http://docker"),
        ANSWER_SECONDS,
        API_DEFAULT_VERSION,
    )
}

/// Opens the connections of the HTTP client; it outlives the SSH connections that carry them.
#[derive(Clone)]
struct Connector {
    transport: Arc<Transport>,
    route: Route,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { transport, route } = self.clone();
        Box::pin(async move { route.open(&transport).await.map(TokioIo::new) })
    }
}
