//! The far end, on the host.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use yamux::Mode;

use crate::Error;
use crate::line::{Accepted, Answer, Call, hear, say};
use crate::mux::{Inner, Opener, connection};

/// Does what the near end of `stream` asks for, until the stream ends. Then all connections are closed.
///
/// # Errors
/// A stream that breaks, or carries something else.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Error> {
    let (opener, mut came, moving) = connection(stream, Mode::Server);
    let mut calls = JoinSet::new();
    tokio::pin!(moving);
    loop {
        tokio::select! {
            ended = &mut moving => return ended.map_err(|error| Error::Broken(std::io::Error::other(error))),
            Some(stream) = came.recv() => {
                let opener = opener.clone();
                // What goes wrong on one of them ends that one: both its sides see it.
                calls.spawn(async move { answer(stream, &opener).await });
            }
            Some(_) = calls.join_next() => {}
        }
    }
}

async fn answer(mut stream: Inner, opener: &Opener) -> Result<(), Error> {
    match hear(&mut stream).await? {
        Call::Tcp(address) => match TcpStream::connect(address).await.and_then(at_once) {
            Ok(connection) => join(stream, connection).await,
            Err(error) => say(&mut stream, &why(&error)).await,
        },
        Call::Unix(path) => match UnixStream::connect(path).await {
            Ok(connection) => join(stream, connection).await,
            Err(error) => say(&mut stream, &why(&error)).await,
        },
        Call::Listen(port) => match bind(port).await {
            Ok((listener, port)) => listen(stream, &listener, port, opener).await,
            Err(error) => say(&mut stream, &Answer::Refused(error.to_string())).await,
        },
    }
}

/// What was connected to, from here on.
async fn join(mut stream: Inner, mut connection: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Error> {
    say(&mut stream, &Answer::Connected).await?;
    copy_bidirectional(&mut stream, &mut connection).await?;
    Ok(())
}

async fn bind(port: u16) -> std::io::Result<(TcpListener, u16)> {
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Err(_) if port > 0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        bound => bound?,
    };
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Listens for as long as the stream is open. What was accepted goes on after it.
async fn listen(mut stream: Inner, listener: &TcpListener, port: u16, opener: &Opener) -> Result<(), Error> {
    say(&mut stream, &Answer::Listening(port)).await?;
    let mut nothing = [0];
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (mut connection, opener) = (at_once(accepted?.0)?, opener.clone());
                tokio::spawn(async move {
                    let mut stream = opener.open().await?;
                    say(&mut stream, &Accepted { port }).await?;
                    copy_bidirectional(&mut stream, &mut connection).await?;
                    Ok::<(), Error>(())
                });
            }
            _ = stream.read(&mut nothing) => return Ok(()),
        }
    }
}

fn at_once(connection: TcpStream) -> std::io::Result<TcpStream> {
    connection.set_nodelay(true)?;
    Ok(connection)
}

fn why(error: &std::io::Error) -> Answer {
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable => Answer::NotListening(error.to_string()),
        _ => Answer::Refused(error.to_string()),
    }
}
