//! When there is no connection, or none that can be used.

use std::net::SocketAddr;

use cutover_core::Engine;
use cutover_migrator::{Error, Limits, Step, Work, apply};
use cutover_secrets::Secret;
use mysql_async::prelude::Queryable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, Server, connect, migrations, run};

async fn refused(url: String, work: &Work) -> Error {
    let (progress, _told) = unbounded_channel();
    apply(&Secret::new(url), Step::Expand, work, &Limits::default(), &progress).await.unwrap_err()
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_and_tried_again() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("mysql://app:hunter2@127.0.0.1:{free}/app");
    let error = refused(url, &migrations(&["DO 1"])).await;
    assert!(error.to_string().contains(&format!("127.0.0.1:{free}/app")) && error.retryable(), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_wrong_password_or_database_is_not_tried_again() {
    let database = Database::new().await;
    let (rest, name) = database.url.expose().rsplit_once('/').unwrap();
    let (_, host) = rest.split_once('@').unwrap();
    for url in [format!("mysql://cutover:hunter2@{host}/{name}"), format!("{rest}/nowhere")] {
        let error = refused(url, &migrations(&["DO 1"])).await;
        assert!(matches!(error, Error::Connect { .. }) && !error.retryable(), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_server_of_another_kind_than_the_migrations_are_for_is_refused() {
    let database = Database::new().await;
    let mut work = migrations(&["DO 1"]);
    work.engine = Engine::Mysql;
    let error = database.expand(&work).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::OtherServer { .. }) && !error.retryable(), "{error:?}");
    assert!(message.contains("MariaDB server (10.") && message.contains("mysql"), "{message}");
}

#[tokio::test]
async fn a_server_that_takes_no_changes_is_refused_with_the_reason() {
    let server = Server::start(&[]);
    run(&mut connect(server.url()).await, "SET GLOBAL read_only = ON").await;
    let error = refused(server.url().to_owned(), &migrations(&["DO 1"])).await;
    assert!(matches!(error, Error::Unfit { .. }) && error.to_string().contains("the primary"), "{error:?}");
}

/// What gives statements to sessions of its own choice greets its clients with an id of its own.
#[tokio::test]
async fn what_is_no_direct_session_is_refused() {
    let database = Database::new().await;
    let (before, rest) = database.url.expose().rsplit_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{before}@{}/{name}", proxy.local_addr().unwrap());
    let server: SocketAddr = server.parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = proxy.accept().await {
            let mut server = TcpStream::connect(server).await.unwrap();
            let mut greeting = vec![0; 4096];
            let length = server.read(&mut greeting).await.unwrap();
            greeting.truncate(length);
            // Behind the head, the protocol and the version, which ends with a zero: the session's id.
            let id = 6 + greeting[5..].iter().position(|byte| *byte == 0).unwrap();
            greeting[id] ^= 0xff;
            client.write_all(&greeting).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let error = refused(url, &migrations(&["DO 1"])).await;
    assert!(matches!(error, Error::Pooled { .. }) && !error.retryable(), "{error:?}");
}

/// After a failover, the address leads to another server, where the ids of sessions are other people's.
#[tokio::test]
async fn on_another_server_nobody_is_ended() {
    let (one, other) = (Server::start(&[]), Server::start(&[]));
    let database = Database::on(&one).await;
    let (before, rest) = database.url.expose().rsplit_once('@').unwrap();
    let (first, name) = rest.split_once('/').unwrap();
    let second = other.url().rsplit_once('@').and_then(|(_, rest)| rest.split_once('/')).unwrap().0;
    let mut session = connect(other.url()).await;
    let (_, password) = before.rsplit_once(':').unwrap();
    for host in ["localhost", "127.0.0.1"] {
        run(&mut session, &format!("SET PASSWORD FOR cutover@{host} = PASSWORD('{password}')")).await;
    }
    run(&mut session, &format!("CREATE DATABASE {name}")).await;
    let mut others = Vec::new();
    for _ in 0..40 {
        let mut session = connect(&format!("{before}@{second}/{name}")).await;
        others.push(async move { session.query_first::<i64, _>("SELECT SLEEP(3)").await });
    }
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{before}@{}/{name}?ssl-mode=DISABLED", proxy.local_addr().unwrap());
    let servers: Vec<SocketAddr> = [first, second].map(|server| server.parse().unwrap()).to_vec();
    tokio::spawn(async move {
        let mut accepted = 0;
        while let Ok((mut client, _)) = proxy.accept().await {
            let mut server = TcpStream::connect(servers[accepted.min(1)]).await.unwrap();
            accepted += 1;
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let (progress, _told) = unbounded_channel();
    let (url, slow) = (Secret::new(url), migrations(&["SELECT SLEEP(600)"]));
    let limits = Limits { statement: std::time::Duration::from_millis(500), ..Limits::default() };
    let moved = Box::pin(apply(&url, Step::Expand, &slow, &limits, &progress));
    let (moved, slept) = tokio::join!(moved, futures_util::future::join_all(others));
    let error = moved.unwrap_err();
    assert!(matches!(error, Error::Moved { .. }) && error.retryable(), "{error}");
    assert!(slept.into_iter().all(|slept| slept.unwrap() == Some(0)), "somebody was ended");
}
