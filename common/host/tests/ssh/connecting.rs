//! Verifying a host, logging in, and connections that are lost, against a real sshd.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::sshd::{Sshd, keygen};
use cutover_host::{Error, HostAddress, Hosts, SshOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_unknown_host_is_refused_until_it_is_accepted() {
    let sshd = Sshd::start(&[]).await;
    std::fs::remove_file(sshd.path("known_hosts")).unwrap();
    let error = sshd.host().connect().await.unwrap_err();
    assert!(
        matches!(&error, Error::HostKeyUnknown { fingerprint, .. } if fingerprint.contains("SHA256:")),
        "{error}"
    );
    assert!(!sshd.path("known_hosts").exists());
    sshd.host_with(SshOptions { accept_new: true, ..sshd.options() }).connect().await.unwrap();
    sshd.host().connect().await.unwrap();
}

#[tokio::test]
async fn a_changed_key_is_refused_even_where_new_ones_are_accepted() {
    let sshd = Sshd::start(&[]).await;
    sshd.know("user");
    let before = std::fs::read(sshd.path("known_hosts")).unwrap();
    let error =
        sshd.host_with(SshOptions { accept_new: true, ..sshd.options() }).connect().await.unwrap_err();
    assert!(matches!(error, Error::HostKeyChanged { line: 1, .. }), "{error}");
    assert!(!error.retryable());
    assert_eq!(std::fs::read(sshd.path("known_hosts")).unwrap(), before);
}

#[tokio::test]
async fn a_host_with_several_keys_shows_the_one_that_is_recorded() {
    let sshd = Sshd::start(&[]).await;
    sshd.know("host_ecdsa");
    sshd.host().connect().await.unwrap();
}

#[tokio::test]
async fn a_key_that_the_host_does_not_accept_is_named() {
    let sshd = Sshd::start(&[]).await;
    let stranger = sshd.path("stranger");
    keygen(&stranger, "ed25519", "");
    let options = SshOptions { identities: vec![stranger.clone()], ..sshd.options() };
    let error = sshd.host_with(options).connect().await.unwrap_err();
    assert!(
        matches!(&error, Error::AuthenticationFailed { tried, .. } if tried == &[stranger.display().to_string()]),
        "{error}"
    );
    let error =
        sshd.host_with(SshOptions { identities: vec![], ..sshd.options() }).connect().await.unwrap_err();
    assert!(matches!(&error, Error::AuthenticationFailed { tried, .. } if tried.is_empty()), "{error}");
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_named_and_passed_over() {
    let sshd = Sshd::start(&[]).await;
    let locked = sshd.path("locked");
    keygen(&locked, "ed25519", "a passphrase");
    for path in [locked.clone(), sshd.path("absent")] {
        let options = SshOptions { identities: vec![path.clone()], ..sshd.options() };
        let error = sshd.host_with(options).connect().await.unwrap_err();
        assert!(matches!(&error, Error::KeyUnreadable { path: named, .. } if *named == path), "{error}");
    }
    let options = SshOptions { identities: vec![locked, sshd.path("user")], ..sshd.options() };
    sshd.host_with(options).connect().await.unwrap();
}

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    for kind in ["rsa", "ecdsa"] {
        let sshd = Sshd::start(&[]).await;
        for name in ["user", "user.pub"] {
            std::fs::remove_file(sshd.path(name)).unwrap();
        }
        keygen(&sshd.path("user"), kind, "");
        sshd.host().connect().await.unwrap();
    }
}

#[tokio::test]
async fn the_keys_of_an_agent_log_in() {
    let sshd = Sshd::start(&[]).await;
    let socket = sshd.path("agent");
    let _agent = tokio::process::Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let added = async {
        loop {
            let add = tokio::process::Command::new("ssh-add")
                .arg(sshd.path("user"))
                .env("SSH_AUTH_SOCK", &socket)
                .stderr(Stdio::null())
                .status();
            if add.await.unwrap().success() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, added).await.unwrap();
    let options = SshOptions { identities: vec![], agent: Some(socket), ..sshd.options() };
    sshd.host_with(options).connect().await.unwrap();
}

#[tokio::test]
async fn an_unreachable_host_and_a_silent_one_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = HostAddress::new("root", "127.0.0.1", listener.local_addr().unwrap().port());
    let options =
        SshOptions { connect_timeout: Duration::from_millis(200), ..SshOptions::new("/nonexistent") };
    let hosts = Hosts::new(options, "/nonexistent");
    let error = hosts.get(&address).connect().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    drop(listener);
    let error = hosts.get(&address).connect().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.retryable(), "{error}");
    let error = hosts.get(&HostAddress::new("root", "no-such-host.invalid", 22)).connect().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. } | Error::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn many_users_share_one_connection() {
    let sshd = Sshd::start(&[]).await;
    let host = sshd.host();
    let users = (0..20).map(|_| host.run(&["true"], LIMIT));
    for output in futures_util::future::join_all(users).await {
        assert!(output.unwrap().success());
    }
    assert_eq!(sshd.connections(), 1);
}

#[tokio::test]
async fn a_lost_connection_is_an_error_to_its_users_and_made_again_by_the_next() {
    let sshd = Sshd::start(&[]).await;
    let host = sshd.host();
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = host.connect_tcp(service.local_addr().unwrap(), LIMIT).await.unwrap();
    let (mut peer, _) = service.accept().await.unwrap();
    let mut listener = host.listen().await.unwrap();
    peer.write_all(b"half of an answ").await.unwrap();
    stream.read_exact(&mut [0; 15]).await.unwrap();

    sshd.cut();
    let error = stream.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let error = tokio::time::timeout(LIMIT, listener.accept()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");

    assert!(host.run(&["true"], LIMIT).await.unwrap().success());
    assert_eq!(sshd.connections(), 2);
    host.close().await;
    assert!(host.run(&["true"], LIMIT).await.unwrap().success());
    assert_eq!(sshd.connections(), 3);
}

#[tokio::test]
async fn a_command_whose_end_is_not_known_is_not_taken_for_one_that_ended() {
    let sshd = Sshd::start(&[]).await;
    let host = sshd.host();
    let running = async {
        let script = format!("touch '{}'; sleep 60", sshd.path("started").display());
        host.run(&["sh", "-c", &script], LIMIT).await
    };
    let cutting = async {
        while !sshd.path("started").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sshd.cut();
    };
    let (error, ()) = tokio::join!(running, cutting);
    assert!(matches!(error, Err(Error::Disconnected { .. })), "{error:?}");
}

#[tokio::test]
async fn a_host_is_known_by_the_certificate_of_an_authority() {
    let sshd = Sshd::start(&[]).await;
    for authority in ["authority", "other"] {
        keygen(&sshd.path(authority), "ed25519", "");
    }
    let reason = async || match sshd.host().connect().await.unwrap_err() {
        Error::HostCertificate { reason, .. } => reason.into_string(),
        other => panic!("{other}"),
    };
    sshd.certify("authority", &["-h", "-n", "web.example,127.0.0.*"]);
    for names in ["*", "[127.0.0.1]:*", &format!("[127.0.0.1]:{}", sshd.address().port)] {
        sshd.record(&[(&format!("@cert-authority {names}"), "authority")]);
        sshd.host().connect().await.unwrap();
    }
    sshd.record(&[("@cert-authority *", "other")]);
    assert_eq!(reason().await, "no @cert-authority of that key is recorded for it");
    sshd.record(&[("@cert-authority *", "other"), ("*", "host_ed25519")]);
    sshd.host().connect().await.unwrap();
    // An authority of other hosts isn't asked for a certificate.
    sshd.record(&[("@cert-authority web.example", "authority")]);
    let error = sshd.host().connect().await.unwrap_err();
    assert!(matches!(error, Error::HostKeyUnknown { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_not_good_for_the_host_is_refused() {
    let sshd = Sshd::start(&[]).await;
    keygen(&sshd.path("authority"), "ed25519", "");
    let refused = async || sshd.host().connect().await.unwrap_err();
    sshd.record(&[("@cert-authority *", "authority")]);
    for (options, reason) in [
        (&["-h", "-n", "web.example"][..], "it is for web.example"),
        (&["-h"], "it is for no host"),
        (&["-h", "-n", "127.0.0.1", "-V", "20200101:20200201"], "it has expired"),
        (&["-h", "-n", "127.0.0.1", "-V", "+1d:+2d"], "it is not valid yet"),
    ] {
        sshd.certify("authority", options);
        let error = refused().await;
        assert!(
            matches!(&error, Error::HostCertificate { reason: found, .. } if **found == *reason),
            "{error}"
        );
        assert!(!error.retryable());
    }
    sshd.certify("authority", &["-h", "-n", "127.0.0.1"]);
    sshd.host().connect().await.unwrap();
    for revoked in ["authority", "host_ed25519"] {
        sshd.record(&[("@cert-authority *", "authority"), ("@revoked *", revoked)]);
        let error = refused().await;
        assert!(matches!(error, Error::HostKeyRevoked { line: 2, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_host_whose_key_is_named_may_show_no_other() {
    let sshd = Sshd::start(&[]).await;
    let fingerprint = |name: &str| {
        let listed = Command::new("ssh-keygen").arg("-lf").arg(sshd.path(name)).output().unwrap().stdout;
        String::from_utf8(listed).unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    let pinned = |key: &str| {
        let options = SshOptions { accept_new: true, ..sshd.options() };
        Hosts::new(options, "/var/run/docker.sock").get(&sshd.address().pinned(Some(fingerprint(key))))
    };
    for lines in [&[][..], &[("*", "host_ecdsa")], &[("@cert-authority *", "user")]] {
        sshd.record(lines);
        let known = std::fs::read(sshd.path("known_hosts")).unwrap();
        pinned("host_ed25519").connect().await.unwrap();
        let error = pinned("user").connect().await.unwrap_err();
        assert!(
            matches!(&error, Error::HostKeyOther { wanted, .. } if *wanted == fingerprint("user")),
            "{error}"
        );
        assert!(!error.retryable());
        assert_eq!(std::fs::read(sshd.path("known_hosts")).unwrap(), known);
    }
    sshd.record(&[("@revoked *", "host_ed25519")]);
    let error = pinned("host_ed25519").connect().await.unwrap_err();
    assert!(matches!(error, Error::HostKeyRevoked { .. }), "{error}");
}
