//! The control socket and the state on disk.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use cutover_control::{Refusal, Request, decode_reply};
use cutover_proxy::{Error, ServeOptions, Server};
use hyper::StatusCode;
use tokio::io::AsyncReadExt;

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

/// What the proxy says to a process of another user.
async fn as_a_stranger(socket: &Path, group: u32, others: &[u32], line: &str) -> String {
    let groups = match others {
        [] => "--clear-groups".to_owned(),
        others => format!("--groups={}", others.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
    };
    let say = r"my $proxy = IO::Socket::UNIX->new(Peer => shift) or exit; print $proxy shift, qq(\n); print scalar <$proxy>";
    let output = tokio::process::Command::new("setpriv")
        .args([
            "--reuid=65534",
            &format!("--regid={group}"),
            &groups,
            "perl",
            "-MIO::Socket::UNIX",
            "-e",
            say,
        ])
        .arg(socket)
        .arg(line)
        .output()
        .await
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_stranger_is_not_answered_even_where_the_socket_was_opened_to_all() {
    const CALLERS: u32 = 4711;
    let proxy = Proxy::start_with_options(|options| options.control_gid = Some(CALLERS)).await;
    let socket = proxy.options.control.clone();
    let reach = socket.parent().unwrap().parent().unwrap();
    fs::set_permissions(reach, Permissions::from_mode(0o755)).unwrap();
    let answered = "reading a call";
    assert!(as_a_stranger(&socket, CALLERS, &[], "nonsense").await.contains(answered), "of the group");
    assert!(
        as_a_stranger(&socket, 65534, &[CALLERS], "nonsense").await.contains(answered),
        "in the group beside others"
    );
    assert_eq!(as_a_stranger(&socket, 65534, &[], "nonsense").await, "", "the kernel lets him in");

    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let refused = as_a_stranger(&socket, 65534, &[], "nonsense").await;
    assert!(
        refused.contains("user 65534 may not call this proxy") && refused.contains("mode 666"),
        "{refused}"
    );
    assert!(as_a_stranger(&socket, CALLERS, &[], "nonsense").await.contains(answered), "of the group");
    assert_eq!(proxy.retire(1, "d1").await, Err(Refusal::UnknownService));
}

#[tokio::test]
async fn a_stranger_does_not_take_over() {
    let proxy = Proxy::start().await;
    let socket = proxy.options.control.with_file_name("handover.sock");
    fs::set_permissions(socket.parent().unwrap().parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    let ask = r#"{"take_over":{"protocol":1}}"#;
    assert_eq!(as_a_stranger(&socket, 65534, &[], ask).await, "", "the kernel lets him in");
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(as_a_stranger(&socket, 65534, &[], ask).await, "", "he is offered something");
    let mut successor = proxy.successor().await;
    assert_eq!(successor.retire(1, "d1").await, Err(Refusal::UnknownService));
    successor.end().await;
}

#[tokio::test]
async fn a_socket_is_not_made_where_others_could_replace_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut proxy = Proxy::start().await;
    let mut options = proxy.options.clone();
    options.state = folder.path().join("state");
    options.control = folder.path().join("open/control.sock");
    fs::create_dir(folder.path().join("open")).unwrap();
    fs::set_permissions(folder.path().join("open"), Permissions::from_mode(0o777)).unwrap();
    let refused = Server::bind(&options).await.unwrap_err();
    let Error::ControlSocket { source, .. } = &refused else { panic!("{refused}") };
    assert!(source.to_string().contains("mode 777"), "{source}");
    proxy.end().await;
}

#[tokio::test]
async fn nothing_is_taken_over_where_others_may_have_put_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let mut proxy = Proxy::start().await;
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    let options = ServeOptions {
        take_over: true,
        state: folder.path().join("state"),
        control: open.join("control.sock"),
        ..proxy.options.clone()
    };
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let why = async || match Server::bind(&options).await.unwrap_err() {
        Error::TakeOver { source, .. } => source.to_string(),
        other => panic!("{other}"),
    };
    let listen = r"my $own = IO::Socket::UNIX->new(Local => shift, Listen => 1) or die; $| = 1; print qq(listens\n); sleep 600";
    let mut stranger = tokio::process::Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "perl",
            "-MIO::Socket::UNIX",
            "-e",
            listen,
        ])
        .arg(open.join("handover.sock"))
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = [0; 8];
    stranger.stdout.as_mut().unwrap().read_exact(&mut said).await.unwrap();
    let open_folder = why().await;
    assert!(open_folder.contains("mode 777"), "{open_folder}");
    // He was there before it was closed.
    fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
    let another = why().await;
    assert!(another.contains("neither root nor the user"), "{another}");
    proxy.end().await;
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
