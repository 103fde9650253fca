//! The far end, on the host.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use yamux::Mode;

use crate::Error;
use crate::line::{Accepted, Answer, Call, hear, say};
use crate::mux::{EACH, Inner, Opener, connection};

/// How long nothing may be asked: the near end pings far more often.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest that a connection may take.
const CONNECTS_WITHIN: Duration = Duration::from_secs(60);
/// The wait after a connection that could not be accepted: most reasons pass.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Does what the near end of `stream` asks for, until the stream ends, or nothing is heard of the near end for a minute. Then all
/// connections are closed.
///
/// # Errors
/// A stream that breaks, or carries something else.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Error> {
    let (opener, mut came, moving) = connection(stream, Mode::Server);
    let accepting = Accepting { opener, room: Arc::new(Semaphore::new(EACH)) };
    let mut calls = JoinSet::new();
    tokio::pin!(moving);
    loop {
        tokio::select! {
            ended = &mut moving => return ended.map_err(|error| Error::Broken(std::io::Error::other(error))),
            asked = timeout(SILENCE, came.recv()) => {
                let Ok(Some(stream)) = asked else { return Err(Error::Closed) };
                let accepting = accepting.clone();
                // What goes wrong on one of them ends that one: both its sides see it.
                calls.spawn(async move { answer(stream, accepting).await });
            }
            Some(_) = calls.join_next() => {}
        }
    }
}

/// What accepted connections need.
#[derive(Clone)]
struct Accepting {
    opener: Opener,
    room: Arc<Semaphore>,
}

async fn answer(mut stream: Inner, accepting: Accepting) -> Result<(), Error> {
    match hear(&mut stream).await? {
        Call::Ping => say(&mut stream, &Answer::Pong).await,
        Call::Tcp(address) => {
            let connect = async { at_once(TcpStream::connect(address).await?) };
            connected(stream, connect).await
        }
        Call::Unix(path) => connected(stream, UnixStream::connect(path)).await,
        Call::Listen(port) => match bind(port).await {
            Ok((listener, port)) => listen(stream, &listener, port, &accepting).await,
            Err(error) => say(&mut stream, &Answer::Refused(error.to_string())).await,
        },
    }
}

/// Connects, unless the near end gives up before, and carries what is said.
async fn connected<C: AsyncRead + AsyncWrite + Unpin>(
    mut stream: Inner,
    connect: impl Future<Output = std::io::Result<C>>,
) -> Result<(), Error> {
    let connected = tokio::select! {
        connected = timeout(CONNECTS_WITHIN, connect) => connected,
        // It says nothing before it is answered.
        _ = stream.fill_buf() => return Ok(()),
    };
    match connected {
        Ok(Ok(connection)) => join(stream, connection).await,
        Ok(Err(error)) => say(&mut stream, &why(&error)).await,
        Err(_) => say(&mut stream, &Answer::NotListening("no answer".to_owned())).await,
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
async fn listen(
    mut stream: Inner,
    listener: &TcpListener,
    port: u16,
    accepting: &Accepting,
) -> Result<(), Error> {
    say(&mut stream, &Answer::Listening(port)).await?;
    let accepting = async {
        loop {
            // Who connects beyond the room waits in the port's own queue.
            let room = Arc::clone(&accepting.room).acquire_owned().await;
            let Ok((connection, _)) = listener.accept().await else {
                sleep(ACCEPT_AGAIN).await;
                continue;
            };
            let opener = accepting.opener.clone();
            tokio::spawn(async move {
                let _room = room;
                bring(connection, port, &opener).await
            });
        }
    };
    tokio::select! {
        never = accepting => never,
        _ = stream.fill_buf() => Ok(()),
    }
}

/// Brings an accepted connection to the near end.
async fn bring(connection: TcpStream, port: u16, opener: &Opener) -> Result<(), Error> {
    let mut connection = at_once(connection)?;
    let mut stream = opener.open().await?;
    say(&mut stream, &Accepted { port }).await?;
    copy_bidirectional(&mut stream, &mut connection).await?;
    Ok(())
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
