//! The way to a host's sshd: a TCP connection, other hosts, or a command.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::channel::ChannelStream;
use crate::connection::{Connection, Target};
use crate::socket::PromptSocket;
use crate::ssh_config::{Route, SshConfig};
use crate::{Error, SshOptions, Stream};

/// How many hosts there may be on the way: more are a circle in the file.
const HOPS: usize = 8;

/// Opens a stream to the sshd of that host, `depth` hosts being on the way already, and answers with it and with the connection
/// that it goes through.
pub(crate) async fn open(
    config: &SshConfig,
    options: &SshOptions,
    depth: usize,
) -> Result<(Stream, Option<Arc<Connection>>), Error> {
    let host = || config.address.to_string();
    let unreachable = |source| Error::Unreachable { host: host(), source };
    match &config.route {
        Route::Direct => {
            let socket = PromptSocket::connect(&config.address.address, config.address.port).await;
            Ok((Stream::new(socket.map_err(unreachable)?), None))
        }
        Route::Command(line) => Ok((command(line).map_err(unreachable)?, None)),
        Route::Jump(hops) => {
            let mut via: Option<Arc<Connection>> = None;
            for (number, hop) in hops.iter().enumerate() {
                let mut hop = SshConfig::of_hop(hop, options).await?;
                let (stream, before) = match via {
                    _ if depth + number >= HOPS => {
                        let circle = format!("there are more than {HOPS} jump hosts on the way to it");
                        return Err(unreachable(io::Error::other(circle)));
                    }
                    // As with ssh, only the first of them may lie behind others that its own entry names.
                    None => Box::pin(open(&hop, options, depth + 1)).await?,
                    Some(via) => {
                        hop.route = Route::Direct;
                        (through(&via, &hop).await?, Some(via))
                    }
                };
                via = Some(Connection::over(stream, before, &hop, options).await?);
            }
            let via = via.ok_or_else(|| unreachable(io::Error::other("its ProxyJump names no host")))?;
            Ok((through(&via, config).await?, Some(via)))
        }
    }
}

async fn through(via: &Arc<Connection>, to: &SshConfig) -> Result<Stream, Error> {
    let address = &to.address;
    let opened = via.open(Target::Named(address.address.clone(), address.port)).await;
    let refused = |error| Error::Unreachable {
        host: address.to_string(),
        source: io::Error::other(format!("the jump host opens no connection to it: {error}")),
    };
    Ok(Stream::new(ChannelStream::new(opened.map_err(refused)?)))
}

/// A shell runs the line, as ssh has it run. The command ends with the stream.
fn command(line: &str) -> io::Result<Stream> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("exec {line}")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let piped = || io::Error::other("the command has no pipes");
    let (input, output) = (child.stdin.take().ok_or_else(piped)?, child.stdout.take().ok_or_else(piped)?);
    Ok(Stream::new(Piped { _child: child, pipes: tokio::io::join(output, input) }))
}

/// A command's output and input; it is killed when this is dropped.
struct Piped {
    _child: Child,
    pipes: Join<ChildStdout, ChildStdin>,
}

impl AsyncRead for Piped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_read(cx, buf)
    }
}

impl AsyncWrite for Piped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipes).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_shutdown(cx)
    }
}
