//! Both ends of a bridge, over one stream, with real sockets behind it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use cutover_bridge::{Bridge, Error, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);
/// More than any buffer on the way holds.
const MUCH: usize = 8 << 20;
/// More connections than there is room for.
const MANY: u32 = 250;

/// A bridge, and what serves its far end.
fn bridge() -> (Bridge, JoinHandle<Result<(), Error>>) {
    let (near, far) = duplex(64 << 10);
    (Bridge::over(near), tokio::spawn(serve(far)))
}

/// Accepts one connection after the other, and gives back what comes, to its end.
fn echo(listener: TcpListener) {
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
    });
}

fn bytes(seed: u8) -> Vec<u8> {
    (0..MUCH).map(|at| (at / 251) as u8 ^ (at as u8) ^ seed).collect()
}

#[tokio::test]
async fn many_connections_carry_their_own_bytes_both_ways_and_each_direction_ends_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    echo(listener);
    let (bridge, _serving) = bridge();
    let all = (0..8_u8).map(|seed| {
        let bridge = bridge.clone();
        tokio::spawn(async move {
            let stream = bridge.connect_tcp(address).await.unwrap();
            let (mut read, mut write) = tokio::io::split(stream);
            let sent = bytes(seed);
            let writing = async {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let mut came = Vec::new();
            let ((), read) = tokio::join!(writing, read.read_to_end(&mut came));
            read.unwrap();
            assert!(came == sent, "{seed}: {} of {}", came.len(), sent.len());
        })
    });
    for one in all.collect::<Vec<_>>() {
        timeout(LIMIT, one).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn more_connections_than_there_is_room_for_wait_and_end_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    echo(listener);
    let (bridge, _serving) = bridge();
    let mut listening = bridge.listen(0).await.unwrap();
    let port = listening.port();
    let accepting = tokio::spawn(async move {
        for _ in 0..MANY {
            let mut near = listening.accept().await.unwrap();
            tokio::spawn(async move { near.write_all(b"!").await.unwrap() });
        }
    });
    let mut both = Vec::new();
    for number in 0..MANY {
        let bridge = bridge.clone();
        // One by one: those beyond the room fit into the queue of the port.
        let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        both.push(tokio::spawn(async move {
            assert_eq!(far.read_u8().await.unwrap(), b'!');
            let mut near = bridge.connect_tcp(address).await.unwrap();
            near.write_u32(number).await.unwrap();
            assert_eq!(near.read_u32().await.unwrap(), number);
        }));
    }
    for one in both {
        timeout(LIMIT, one).await.unwrap().unwrap();
    }
    timeout(LIMIT, accepting).await.unwrap().unwrap();
    bridge.ping().await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_reached_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a socket\n.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (bridge, _serving) = bridge();
    let mut near = bridge.connect_unix(&path).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    far.write_all(b"who is there?\n").await.unwrap();
    let mut heard = [0; 14];
    near.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"who is there?\n");
    // Dropping it closes it.
    drop(near);
    assert_eq!(timeout(LIMIT, far.read(&mut heard)).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn where_nobody_listens_it_is_said() {
    let (bridge, _serving) = bridge();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let error = bridge.connect_tcp(address).await.unwrap_err();
    assert!(matches!(error, Error::NotListening(_)), "{error}");
    let error = bridge.connect_unix("/nonexistent".as_ref()).await.unwrap_err();
    assert!(matches!(error, Error::NotListening(_)), "{error}");
}

#[tokio::test]
async fn what_connects_there_is_accepted_here_as_long_as_somebody_listens() {
    let (bridge, _serving) = bridge();
    let mut listener = bridge.listen(0).await.unwrap();
    let port = listener.port();
    for said in [b"one", b"two"] {
        let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        far.write_all(said).await.unwrap();
        let mut near = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        let mut heard = [0; 3];
        near.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, said);
        near.write_all(b"yes").await.unwrap();
        near.shutdown().await.unwrap();
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"yes");
    }

    // The port is taken, so it is another one; and what was accepted outlives its listener.
    let other = bridge.listen(port).await.unwrap();
    assert_ne!(other.port(), port);
    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut near = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    drop(listener);
    let closed = async { while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {} };
    timeout(LIMIT, closed).await.unwrap();
    far.write_all(b"still").await.unwrap();
    let mut heard = [0; 5];
    near.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still");
}

#[tokio::test]
async fn when_its_stream_ends_all_that_goes_over_it_ends_at_both_sides() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = duplex(64 << 10);
    let serving = tokio::spawn(serve(far));
    // What ends is neither side's doing.
    let (middle, end) = duplex(64 << 10);
    let carrying = tokio::spawn(carry(near, end));
    let bridge = Bridge::over(middle);
    let mut stream = bridge.connect_tcp(address).await.unwrap();
    let mut listening = bridge.listen(0).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    carrying.abort();
    let mut nothing = [0];
    // That is no end of what was sent.
    timeout(LIMIT, stream.read(&mut nothing)).await.unwrap().unwrap_err();
    assert!(!matches!(timeout(LIMIT, peer.read(&mut nothing)).await.unwrap(), Ok(1..)));
    assert!(matches!(timeout(LIMIT, listening.accept()).await.unwrap(), Err(Error::Closed)));
    timeout(LIMIT, serving).await.unwrap().unwrap().ok();
    assert!(bridge.connect_tcp(address).await.is_err() && bridge.is_closed());
}

#[tokio::test]
async fn what_speaks_another_language_is_no_bridge() {
    let (near, mut far) = duplex(64 << 10);
    let bridge = Bridge::over(near);
    far.write_all(b"Cannot connect to the Docker daemon.\n").await.unwrap();
    let error = timeout(LIMIT, bridge.connect_unix("/nonexistent".as_ref())).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Closed | Error::Broken(_)), "{error}");
}

async fn carry(mut one: DuplexStream, mut other: DuplexStream) {
    let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
}
