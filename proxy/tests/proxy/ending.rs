//! A proxy that is asked to end.

use hyper::StatusCode;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::application::Application;
use crate::caller::LIMIT;
use crate::client::{Client, get, read};
use crate::proxy::Proxy;

#[tokio::test]
async fn what_is_in_flight_is_finished_and_nothing_more_is_accepted() {
    let (app, mut asks, gate) = Application::patient("finished").await;
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
