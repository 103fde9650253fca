//! The control socket and the state on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use cutover_control::{Refusal, Request, decode_reply};
use cutover_proxy::{Error, Server};
use hyper::StatusCode;

use crate::application::Application;
use crate::caller::switch;
use crate::client::get_once;
use crate::proxy::Proxy;

#[tokio::test]
async fn a_line_that_is_no_call_is_refused_with_a_reason() {
    let proxy = Proxy::start().await;
    for line in ["nonsense\n", "{}\n", "{\"protocol\":99,\"request\":\"status\"}\n"] {
        let reply = decode_reply(&proxy.say(line.as_bytes()).await).unwrap();
        assert!(matches!(reply, Err(Refusal::Invalid { .. })), "{line}: {reply:?}");
    }
    let endless = vec![b'x'; cutover_control::MAX_LINE + 1];
    assert!(decode_reply(&proxy.say(&endless).await).unwrap().is_err());
    assert_eq!(proxy.retire(1, "d1").await, Err(Refusal::UnknownService));
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_a_second_proxy_is_refused() {
    let proxy = Proxy::start().await;
    let mode = fs::metadata(&proxy.options.control).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let second = Server::bind(&proxy.options).await;
    assert!(matches!(second, Err(Error::ControlTaken { .. })), "{second:?}");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut proxy = Proxy::start().await;
    let mut options = proxy.options.clone();
    options.state = folder.path().join("state");
    options.control = folder.path().join("stale.sock");
    drop(UnixListener::bind(&options.control).unwrap());
    assert!(Server::bind(&options).await.is_ok());
    options.control = folder.path().join("file");
    fs::write(&options.control, "precious").unwrap();
    assert!(matches!(Server::bind(&options).await, Err(Error::ControlSocket { .. })));
    assert_eq!(fs::read_to_string(&options.control).unwrap(), "precious");
    proxy.end().await;
}

#[tokio::test]
async fn a_state_that_cannot_be_written_changes_nothing() {
    let (one, two) = (Application::named("one").await, Application::named("two").await);
    let proxy = Proxy::start().await;
    proxy.switch(1, &[one.target()]).await;
    // The new file can't be made where a folder is in its place, not even by root.
    fs::create_dir(proxy.options.state.join("state.json.new")).unwrap();
    let refused = proxy.call(Request::Switch(Box::new(switch(2, &[two.target()])))).await;
    assert!(matches!(&refused, Err(Refusal::Storage { .. })), "{refused:?}");
    assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "one".to_owned()));
    assert_eq!(proxy.status().await.epoch.sequence, 1);
    fs::remove_dir(proxy.options.state.join("state.json.new")).unwrap();
    assert_eq!(proxy.switch(2, &[two.target()]).await.as_deref(), Some("d1"));
}

#[tokio::test]
async fn a_damaged_state_stops_the_start_and_says_which_file() {
    let mut proxy = Proxy::start().await;
    proxy.end().await;
    fs::write(proxy.options.state.join("state.json"), "{\"version\":1,\"ledger\":{\"fen").unwrap();
    let error = Server::bind(&proxy.options).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains("state.json"), "{error}");
}
