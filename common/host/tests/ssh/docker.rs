//! The Docker Engine behind sshd. These need one at `/var/run/docker.sock`: `cargo test -p cutover-host -- --ignored`.

use std::time::Duration;

use cutover_host::Error;

use crate::sshd::Sshd;

#[tokio::test]
#[ignore = "needs a Docker Engine at /var/run/docker.sock"]
async fn the_engine_answers_through_a_forwarded_socket_and_after_a_lost_connection() {
    let sshd = Sshd::start(&[]).await;
    let host = sshd.host();
    let docker = host.docker().await.unwrap();
    assert_eq!(docker.ping().await.unwrap(), "OK");
    sshd.cut();
    let again = async { while docker.ping().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), again).await.unwrap();
    assert_eq!(sshd.connections(), 2);
}

#[tokio::test]
#[ignore = "needs a Docker Engine at /var/run/docker.sock"]
async fn the_engine_answers_where_nothing_is_forwarded() {
    let sshd = Sshd::start(&["AllowTcpForwarding no"]).await;
    let host = sshd.host();
    assert_eq!(host.docker().await.unwrap().ping().await.unwrap(), "OK");
    let error = host.connect_unix(&sshd.path("absent.sock")).await.unwrap_err();
    assert!(matches!(error, Error::ForwardingRefused { .. }), "{error}");
}
