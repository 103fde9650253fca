//! Streams, listeners and commands over SSH, against a real sshd, and the same on this machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::sshd::Sshd;
use cutover_host::{Error, Host, Hosts, Output, RemoteListener, SshOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

const LIMIT: Duration = Duration::from_secs(60);

fn this_machine() -> Arc<Host> {
    Hosts::new(SshOptions::new("/nonexistent"), "/nonexistent").local()
}

async fn echo(stream: impl AsyncRead + AsyncWrite) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

/// Sends `length` bytes that depend on `seed`, and expects them back.
async fn expect_echo(stream: impl AsyncRead + AsyncWrite, seed: usize, length: usize) {
    let sent: Vec<u8> = (0..length).map(|index| (index / 7 + seed) as u8).collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let receiving = async { reader.read_to_end(&mut received).await.unwrap() };
    tokio::time::timeout(LIMIT, async { tokio::join!(sending, receiving) }).await.unwrap();
    assert!(received == sent, "{} bytes came back, not the {length} that were sent", received.len());
}

#[tokio::test]
async fn a_tcp_address_of_the_host_is_reached() {
    let sshd = Sshd::start(&[]).await;
    for host in [sshd.host(), this_machine()] {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = service.local_addr().unwrap();
        let serving = tokio::spawn(async move { echo(service.accept().await.unwrap().0).await });
        expect_echo(host.connect_tcp(address, LIMIT).await.unwrap(), 1, 300_000).await;
        serving.await.unwrap();
        let error = host.connect_tcp(address, LIMIT).await.unwrap_err();
        assert!(
            matches!(&error, Error::NotListening { target, .. } if *target == address.to_string()),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_unix_socket_of_the_host_is_reached() {
    let sshd = Sshd::start(&[]).await;
    for (name, host) in [("ssh.sock", sshd.host()), ("local.sock", this_machine())] {
        let path = sshd.path(name);
        let error = host.connect_unix(&path).await.unwrap_err();
        assert!(matches!(error, Error::NotListening { .. }), "{error}");
        let service = UnixListener::bind(&path).unwrap();
        let serving = tokio::spawn(async move { echo(service.accept().await.unwrap().0).await });
        expect_echo(host.connect_unix(&path).await.unwrap(), 2, 300_000).await;
        serving.await.unwrap();
    }
}

fn serve(mut listener: RemoteListener) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    })
}

#[tokio::test]
async fn what_connects_to_a_listener_on_the_host_is_served_here() {
    let sshd = Sshd::start(&[]).await;
    for host in [sshd.host(), this_machine()] {
        let listener = host.listen().await.unwrap();
        let port = listener.port();
        let serving = serve(listener);
        let clients = (0..8).map(|seed| async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            expect_echo(stream, seed, 1_000_000 + seed).await;
        });
        futures_util::future::join_all(clients).await;

        serving.abort();
        let closed = async { while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {} };
        tokio::time::timeout(LIMIT, closed).await.unwrap();
    }
}

#[tokio::test]
async fn a_wanted_port_is_taken_and_another_one_where_somebody_has_it() {
    let sshd = Sshd::start(&[]).await;
    for host in [sshd.host(), this_machine()] {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wanted = taken.local_addr().unwrap().port();
        let other = host.listen_at(wanted).await.unwrap();
        assert_ne!(other.port(), wanted);
        drop(taken);
        let listener = host.listen_at(wanted).await.unwrap();
        for listener in [other, listener] {
            let stream = TcpStream::connect(("127.0.0.1", listener.port())).await.unwrap();
            let _serving = serve(listener);
            expect_echo(stream, 5, 1_000).await;
        }
    }
}

#[tokio::test]
async fn fifty_megabytes_go_through_a_listener_in_both_directions_at_once() {
    let sshd = Sshd::start(&[]).await;
    let host = sshd.host();
    let listener = host.listen().await.unwrap();
    let stream = TcpStream::connect(("127.0.0.1", listener.port())).await.unwrap();
    let _serving = serve(listener);
    expect_echo(stream, 3, 50_000_000).await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_hold_up_the_others() {
    let sshd = Sshd::start(&[]).await;
    let host = sshd.host();
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut unread = host.connect_tcp(service.local_addr().unwrap(), LIMIT).await.unwrap();
    let (mut peer, _) = service.accept().await.unwrap();
    peer.write_all(&vec![7; 20_000_000]).await.unwrap();
    assert!(host.run(&["true"], LIMIT).await.unwrap().success());
    drop(peer);
    let mut late = Vec::new();
    unread.read_to_end(&mut late).await.unwrap();
    assert_eq!(late.len(), 20_000_000);
}

#[tokio::test]
async fn a_writer_whose_peer_is_gone_gets_an_error() {
    let sshd = Sshd::start(&[]).await;
    let host = sshd.host();
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = host.connect_tcp(service.local_addr().unwrap(), LIMIT).await.unwrap();
    let (peer, _) = service.accept().await.unwrap();
    drop(peer);
    let writing = async { while stream.write_all(&[0; 65536]).await.is_ok() {} };
    tokio::time::timeout(LIMIT, writing).await.unwrap();
}

#[tokio::test]
async fn words_of_a_command_arrive_as_they_are() {
    let sshd = Sshd::start(&[]).await;
    let words = [
        "",
        " ",
        "it's",
        "\"$HOME\"",
        "$(id)",
        "`id`",
        "a\nb\n",
        "-n",
        "--",
        "*",
        "~",
        "a;b&&c|d>e<f",
        "\\",
        "漢字 🚀",
        "!!",
    ];
    let mut command = vec!["printf", r"%s\0"];
    command.extend(words);
    let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
    for host in [sshd.host(), this_machine()] {
        let output = host.run(&command, LIMIT).await.unwrap();
        assert!(output.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_command_says_how_it_ended() {
    let sshd = Sshd::start(&[]).await;
    for host in [sshd.host(), this_machine()] {
        let output = host.run(&["sh", "-c", "echo out; echo err >&2; exit 3"], LIMIT).await.unwrap();
        assert_eq!(output, Output { status: 3, stdout: b"out\n".into(), stderr: b"err\n".into() });
        let output = host.run(&["sh", "-c", "kill -TERM $$"], LIMIT).await.unwrap();
        assert_eq!(output.status, 128 + 15);
        let output = host.run(&["cat"], LIMIT).await.unwrap();
        assert!(output.success() && output.stdout.is_empty(), "{output:?}");
        let output = host.run(&["head", "-c", "6000000", "/dev/zero"], LIMIT).await.unwrap();
        assert_eq!(output.stdout.len(), Output::LIMIT);
        let error = host.run(&["sleep", "60"], Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed() {
    let sshd = Sshd::start(&["MaxSessions 3"]).await;
    let host = sshd.host();
    for _ in 0..3 {
        let _ = host.run(&["sleep", "600"], Duration::from_millis(200)).await.unwrap_err();
    }
    let free = async { while !host.run(&["true"], LIMIT).await.is_ok_and(|output| output.success()) {} };
    tokio::time::timeout(LIMIT, free).await.unwrap();
    assert_eq!(sshd.connections(), 1);
}

#[tokio::test]
async fn a_host_that_forwards_nothing_says_so() {
    let sshd = Sshd::start(&["AllowTcpForwarding no"]).await;
    let host = sshd.host();
    let error = host.connect_tcp("127.0.0.1:1".parse().unwrap(), LIMIT).await.unwrap_err();
    assert!(matches!(error, Error::ForwardingRefused { .. }), "{error}");
    let error = host.listen().await.unwrap_err();
    assert!(matches!(error, Error::ForwardingRefused { .. }), "{error}");
    let error = host.connect_unix(Path::new("/nonexistent")).await.unwrap_err();
    assert!(!matches!(error, Error::Timeout { .. }), "{error}");
    assert!(host.run(&["true"], LIMIT).await.unwrap().success());
}

#[tokio::test]
async fn no_docker_is_said_where_there_is_none() {
    let error = this_machine().docker().await.unwrap_err();
    assert!(matches!(error, Error::NoDocker { .. }) && error.retryable(), "{error}");
}
