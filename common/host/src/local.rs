//! This machine as a host.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::Command;
use tokio::time::timeout;

use crate::command::keep;
use crate::listener::RemoteListener;
use crate::{Error, Output, Stream};

/// The name of this machine in errors.
pub(crate) const NAME: &str = "this machine";

/// The limit on connecting to a unix socket.
const LIMIT: Duration = Duration::from_secs(10);

/// This machine.
pub(crate) struct Local {
    /// The socket of its Docker Engine.
    pub(crate) docker_socket: PathBuf,
}

impl Local {
    pub(crate) async fn connect_tcp(&self, address: SocketAddr, limit: Duration) -> Result<Stream, Error> {
        self.connect_name(&address.ip().to_string(), address.port(), limit).await
    }

    pub(crate) async fn connect_name(&self, name: &str, port: u16, limit: Duration) -> Result<Stream, Error> {
        let target = format!("{name}:{port}");
        let doing = format!("connecting to {target}");
        let connecting = within(limit, &doing, TcpStream::connect((name, port))).await?;
        let stream = connecting.map_err(|error| refused(target, &doing, error))?;
        stream.set_nodelay(true).map_err(|error| failed(&doing, error))?;
        Ok(Stream::new(stream))
    }

    pub(crate) async fn connect_unix(&self, path: &Path) -> Result<Stream, Error> {
        let doing = format!("connecting to {}", path.display());
        let connecting = within(LIMIT, &doing, UnixStream::connect(path)).await?;
        connecting.map(Stream::new).map_err(|error| refused(path.display().to_string(), &doing, error))
    }

    pub(crate) async fn listen(&self, port: u16) -> Result<RemoteListener, Error> {
        let doing = "listening on its loopback interface";
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Err(_) if port > 0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
            bound => bound,
        };
        let listener = listener.map_err(|error| failed(doing, error))?;
        let port = listener.local_addr().map_err(|error| failed(doing, error))?.port();
        Ok(RemoteListener::local(listener, port))
    }

    pub(crate) async fn run(&self, command: &[&str], limit: Duration) -> Result<Output, Error> {
        let doing = format!("running {}", command.join(" "));
        let Some((program, arguments)) = command.split_first() else {
            return Err(failed(
                "running a command",
                io::Error::new(ErrorKind::InvalidInput, "there is none"),
            ));
        };
        let running = async {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            let (stdout, stderr, status) = tokio::try_join!(read(stdout), read(stderr), child.wait())?;
            Ok(Output { status: code(status), stdout, stderr })
        };
        within(limit, &doing, running).await?.map_err(|error| failed(&doing, error))
    }
}

/// An error of the operating system.
pub(crate) fn failed(doing: &str, source: io::Error) -> Error {
    Error::Io { host: NAME.into(), doing: doing.into(), source }
}

fn refused(target: String, doing: &str, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            Error::NotListening { host: NAME.into(), target }
        }
        _ => failed(doing, error),
    }
}

async fn within<T>(limit: Duration, doing: &str, work: impl Future<Output = T>) -> Result<T, Error> {
    timeout(limit, work).await.map_err(|_| Error::Timeout { host: NAME.into(), doing: doing.into(), limit })
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut pipe) = pipe else { return Ok(kept) };
    let mut buffer = vec![0; 16 << 10];
    loop {
        match pipe.read(&mut buffer).await? {
            0 => return Ok(kept),
            length => keep(&mut kept, buffer.split_at(length).0),
        }
    }
}

fn code(status: ExitStatus) -> u32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()).cast_unsigned()
}
