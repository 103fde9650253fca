//! One proxy takes over from another.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cutover_control::{Refusal, Request, ServiceStatus};
use cutover_proxy::{Error, ServeOptions, Server};
use hyper::StatusCode;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::time::timeout;

use crate::application::Application;
use crate::authority::{Authority, shake};
use crate::caller::LIMIT;
use crate::client::{Client, get, get_once, read};
use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_while_one_proxy_takes_over_from_another() {
    let app = Application::named("app").await;
    let mut proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let (address, done) = (proxy.address, Arc::new(AtomicBool::new(false)));
    let clients = (0..8).map(|number| {
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            let (mut answered, mut client) = (0, None::<Client>);
            while !done.load(Relaxed) {
                // Half of the clients keep their connection, as long as the proxy does.
                let (status, closes) = match &mut client {
                    Some(kept) => {
                        let response = kept.send(get("/")).await.unwrap();
                        let closes =
                            response.headers().get("connection").is_some_and(|value| value == "close");
                        let status = response.status();
                        read(response).await.unwrap();
                        (status, closes)
                    }
                    None => (get_once(address, "a").await.0, true),
                };
                assert_eq!(status, StatusCode::OK);
                answered += 1;
                client = match client.take().filter(|_| !closes) {
                    None if number % 2 == 0 => Some(Client::connect(address).await),
                    kept => kept,
                };
            }
            answered
        })
    });
    let clients: Vec<_> = clients.collect();
    for _ in 0..10 {
        let successor = proxy.successor().await;
        proxy.ended().await;
        assert_eq!(successor.address, address);
        proxy = successor;
    }
    done.store(true, Relaxed);
    let mut answered = 0;
    for client in clients {
        answered += timeout(LIMIT, client).await.unwrap().unwrap();
    }
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.server_errors, active.proxy_errors), (0, 0));
    // The counters go on; only what ended in a predecessor since it was asked to hand over is in none.
    assert!((1..=answered).contains(&active.requests), "{} of {answered}", active.requests);
    assert_eq!(proxy.restore(1, "d0").await, Ok(Some("d1".to_owned())));
    assert!(matches!(proxy.restore(0, "d1").await, Err(Refusal::StaleEpoch { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_predecessor_has_in_flight_is_not_stopped_and_it_follows_what_is_decided_since() {
    let (old, mut asks, gate) = Application::patient("finished").await;
    let new = Application::named("new").await;
    let mut predecessor = Proxy::start().await;
    predecessor.switch(1, &[old.target()]).await;
    let mut busy = Client::connect(predecessor.address).await;
    let mut idle = Client::connect(predecessor.address).await;
    gate.add_permits(1);
    assert_eq!(idle.ask(get("/")).await.unwrap().0, StatusCode::OK);
    timeout(LIMIT, asks.recv()).await.unwrap();
    let answering = tokio::spawn(async move { busy.send(get("/")).await.unwrap() });
    timeout(LIMIT, asks.recv()).await.unwrap();

    let successor = predecessor.successor().await;
    assert_eq!(successor.switch(2, &[new.target()]).await.as_deref(), Some("d1"));
    // A connection that the predecessor has is served by what was decided at the successor.
    let late = idle.send(get("/")).await.unwrap();
    assert_eq!(late.headers()["connection"], "close");
    assert_eq!(read(late).await.unwrap(), "new");
    let busy = |status: &ServiceStatus| status.previous.as_ref().map(|set| set.targets[0].in_flight);
    assert_eq!(busy(&successor.status().await), Some(1));
    let (_, draining) = successor.retire(2, "d2").await.unwrap();
    assert_eq!(draining.iter().map(|target| target.in_flight).collect::<Vec<_>>(), [1]);

    // A third one would know nothing of the first.
    let third = Server::bind(&ServeOptions { take_over: true, ..successor.options.clone() }).await;
    assert!(matches!(third, Err(Error::TakeOver { .. })), "{third:?}");

    gate.add_permits(1);
    assert_eq!(read(answering.await.unwrap()).await.unwrap(), "finished");
    predecessor.ended().await;
    assert_eq!(successor.retire(2, "d2").await.unwrap().1, []);
    assert_eq!(get_once(successor.address, "a").await, (StatusCode::OK, "new".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_fails_changes_nothing() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let handover = proxy.options.control.with_file_name("handover.sock");
    for said in
        ["", "{\"take_over\":{\"protocol\":99}}\n", "{\"take_over\":{\"protocol\":1}}\n", "nonsense\n"]
    {
        let mut successor = UnixStream::connect(&handover).unwrap();
        std::io::Write::write_all(&mut successor, said.as_bytes()).unwrap();
        drop(successor);
        assert_eq!(proxy.restore(1, "d0").await, Ok(Some("d1".to_owned())));
        assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "app".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_for_tls_comes_and_goes_with_a_take_over() {
    let mut proxy = Proxy::start().await;
    let authority = Authority::new("ca");
    let client = authority.client(&[]);
    proxy.certify("app", authority.certify(&["a.example"])).await.unwrap();
    let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let mut speaking = proxy.successor_with_options(|options| options.https = any).await;
    proxy.ended().await;
    assert!(shake(&client, speaking.https(), "a.example").await.is_ok());

    let address = speaking.https();
    let silent = speaking.successor_with_options(|options| options.https = None).await;
    speaking.ended().await;
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(get_once(silent.address, "a").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_listens_elsewhere_answers_where_the_one_before_did_as_long_as_it_is_told_to() {
    let mut proxy = Proxy::start().await;
    let app = Application::named("app").await;
    proxy.switch(1, &[app.target()]).await;
    let (elsewhere, there) = (SocketAddr::from(([127, 0, 0, 2], 0)), proxy.address);
    let mut moving = proxy
        .successor_with_options(|options| (options.http, options.also_http) = (elsewhere, Some(there)))
        .await;
    proxy.ended().await;
    for address in [there, moving.address] {
        assert_eq!(get_once(address, "a").await, (StatusCode::OK, "app".to_owned()), "{address}");
    }
    let moved = moving.successor_with_options(|options| options.also_http = None).await;
    moving.ended().await;
    assert!(TcpStream::connect(there).is_err());
    assert_eq!(get_once(moved.address, "a").await, (StatusCode::OK, "app".to_owned()));
}

#[tokio::test]
async fn a_successor_of_an_older_version_is_given_the_two_sockets_that_it_knows() {
    let proxy = Proxy::start_secured().await;
    // One that answers waits for a successor too.
    assert!(proxy.call(Request::Status).await.is_ok());
    let handover = proxy.options.control.with_file_name("handover.sock");
    for (asked, sockets) in [("", 2), (",\"https\":true", 3)] {
        let successor = UnixStream::connect(&handover).unwrap();
        let ask = format!("{{\"take_over\":{{\"protocol\":1{asked}}}}}\n");
        std::io::Write::write_all(&mut &successor, ask.as_bytes()).unwrap();
        let received = tokio::task::spawn_blocking(move || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut bytes = [0; 1024];
            recvmsg(&successor, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::empty())
                .unwrap();
            let rights = control.drain().map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => rights.count(),
                _ => 0,
            });
            rights.sum::<usize>()
        });
        assert_eq!(timeout(LIMIT, received).await.unwrap().unwrap(), sockets);
    }
}
