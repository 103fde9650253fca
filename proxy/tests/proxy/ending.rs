//! A proxy that is asked to end.

use std::sync::Arc;

use hyper::StatusCode;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::application::{Application, text};
use crate::client::{Client, get, read};
use crate::proxy::{LIMIT, Proxy};

#[tokio::test]
async fn what_is_in_flight_is_finished_and_nothing_more_is_accepted() {
    let (asked, mut asks) = mpsc::channel(8);
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let app = Application::serve(move |_| {
        let (asked, held) = (asked.clone(), Arc::clone(&held));
        async move {
            asked.send(()).await.unwrap();
            held.acquire().await.unwrap().forget();
            text(StatusCode::OK, "finished")
        }
    })
    .await;
    let mut proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let (mut busy, mut idle) = (Client::connect(proxy.address).await, Client::connect(proxy.address).await);
    gate.add_permits(1);
    assert_eq!(idle.ask(get("/")).await.unwrap().0, StatusCode::OK);
    timeout(LIMIT, asks.recv()).await.unwrap();
    let answering = tokio::spawn(async move { busy.send(get("/")).await.unwrap() });
    timeout(LIMIT, asks.recv()).await.unwrap();

    let address = proxy.address;
    let ending = proxy.end();
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(LIMIT, refused).await.unwrap();
    // A request that was on its way on an idle connection is still answered.
    gate.add_permits(2);
    let late = idle.send(get("/")).await.unwrap();
    assert_eq!(late.headers()["connection"], "close");
    let response = answering.await.unwrap();
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(read(response).await.unwrap(), "finished");
    assert_eq!(read(late).await.unwrap(), "finished");
    ending.await;
}
