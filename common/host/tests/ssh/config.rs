//! Hosts that are reached as an ssh_config(5) says, over real servers.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::sshd::{Sshd, keygen};
use cutover_host::{Error, HostAddress, Hosts, SshOptions};

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(20);
/// A name that nothing resolves: only the file says where it is.
const ALIAS: &str = "app.invalid";

/// Options by which `target` is known as [`ALIAS`], with these lines in its entry, and others are known by address.
fn options(target: &Sshd, known: &[&Sshd], lines: &[String]) -> SshOptions {
    let HostAddress { address, port, .. } = target.address();
    let mut text = format!("Host {ALIAS}\n  HostName {address}\n  Port {port}\n");
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
    let config = target.path("ssh_config");
    fs::write(&config, text).unwrap();
    let mut records = String::new();
    for sshd in [target].iter().chain(known) {
        records.push_str(&fs::read_to_string(sshd.path("known_hosts")).unwrap());
        records.push('\n');
    }
    let known_hosts = target.path("all_known_hosts");
    fs::write(&known_hosts, records).unwrap();
    SshOptions { config: Some(config), ..SshOptions::new(known_hosts) }
}

async fn whoami(target: &Sshd, options: SshOptions) -> Result<String, Error> {
    let address = HostAddress { address: ALIAS.to_owned(), port: 22, ..target.address() };
    let host = Hosts::new(options, "/var/run/docker.sock").get(&address);
    let output = host.run(&["id", "-un"], LIMIT).await?;
    Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[tokio::test]
async fn an_alias_leads_to_its_host_with_its_key() {
    let sshd = Sshd::start(&[]).await;
    let key = format!("IdentityFile {}", sshd.path("user").display());
    let user = whoami(&sshd, options(&sshd, &[], &[key])).await.unwrap();
    assert_eq!(user, sshd.address().user);
}

#[tokio::test]
async fn a_host_behind_jump_hosts_is_reached_through_them() {
    let (target, first, second) = (Sshd::start(&[]).await, Sshd::start(&[]).await, Sshd::start(&[]).await);
    // One key for all, as people have it.
    for hop in [&first, &second] {
        fs::copy(target.path("user.pub"), hop.path("user.pub")).unwrap();
    }
    let hop = |sshd: &Sshd| format!("{}@127.0.0.1:{}", sshd.address().user, sshd.address().port);
    let lines = [
        format!("ProxyJump {},{}", hop(&first), hop(&second)),
        format!("IdentityFile {}", target.path("user").display()),
    ];
    let options = options(&target, &[&first, &second], &lines);
    let options = SshOptions { identities: vec![target.path("user")], ..options };
    whoami(&target, options.clone()).await.unwrap();
    assert!([&first, &second, &target].iter().all(|sshd| sshd.connections() == 1));

    // A jump host whose key is not known is refused like any other.
    fs::write(target.path("all_known_hosts"), fs::read(target.path("known_hosts")).unwrap()).unwrap();
    let error = whoami(&target, options).await.unwrap_err();
    let named = format!("127.0.0.1:{}", first.address().port);
    assert!(matches!(&error, Error::HostKeyUnknown { host, .. } if host.ends_with(&named)), "{error}");
}

#[tokio::test]
async fn jump_hosts_that_go_round_in_circles_are_an_error() {
    let target = Sshd::start(&[]).await;
    let error = whoami(&target, options(&target, &[], &[format!("ProxyJump {ALIAS}")])).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable { source, .. } if source.to_string().contains("jump hosts")),
        "{error}"
    );
}

#[tokio::test]
async fn a_proxy_command_is_the_way_to_its_host() {
    let sshd = Sshd::start(&[]).await;
    let lines = [
        "ProxyCommand bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3'".to_owned(),
        format!("IdentityFile {}", sshd.path("user").display()),
    ];
    whoami(&sshd, options(&sshd, &[], &lines)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_logs_in_where_its_key_would_not() {
    let sshd = Sshd::start(&[]).await;
    let (authority, key) = (sshd.path("authority"), sshd.path("certified"));
    keygen(&authority, "ed25519", "");
    keygen(&key, "ed25519", "");
    let user = sshd.address().user;
    let public = fs::read_to_string(authority.with_extension("pub")).unwrap();
    fs::write(sshd.path("user.pub"), format!("cert-authority {public}")).unwrap();
    let lines = [format!("IdentityFile {}", key.display())];
    let refused = whoami(&sshd, options(&sshd, &[], &lines)).await.unwrap_err();
    assert!(matches!(refused, Error::AuthenticationFailed { .. }), "{refused}");

    let signed = Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(&authority)
        .args(["-I", "test", "-n", &user])
        .arg(key.with_extension("pub"))
        .status()
        .unwrap();
    assert!(signed.success());
    whoami(&sshd, options(&sshd, &[], &lines)).await.unwrap();

    // The same certificate elsewhere, named by the file.
    fs::rename(sshd.path("certified-cert.pub"), sshd.path("elsewhere.pub")).unwrap();
    let lines = [lines[0].clone(), format!("CertificateFile {}", sshd.path("elsewhere.pub").display())];
    whoami(&sshd, options(&sshd, &[], &lines)).await.unwrap();
}

#[tokio::test]
async fn what_ssh_does_not_understand_is_said_with_its_line() {
    let sshd = Sshd::start(&[]).await;
    let error = whoami(&sshd, options(&sshd, &[], &["ProxyJmp elsewhere".to_owned()])).await.unwrap_err();
    assert!(matches!(&error, Error::SshConfig { .. }), "{error}");
    let told = error.to_string();
    assert!(told.contains("line 4") && told.contains("proxyjmp") && !error.retryable(), "{told}");
}
