//! What a service says of its proxy, through the whole pipeline to a client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;

use cutover_e2e::{App, Host};
use support::{Expect, Scene};

const NAME: &str = "hello.example";

/// What curl says of an answer to a client that trusts one certificate: its status, its fields and its body.
fn ask(host: &Host, certificate: &Path, url: &str) -> String {
    let resolve = |port: u16| format!("{NAME}:{port}:{}", host.address);
    let asked = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "10"])
        .args(["--resolve", &resolve(80), "--resolve", &resolve(443), "--cacert"])
        .args([certificate, Path::new(url)])
        .output()
        .unwrap();
    assert!(asked.status.success(), "{url}: {}", String::from_utf8_lossy(&asked.stderr));
    String::from_utf8_lossy(&asked.stdout).to_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_its_own_certificate_and_a_port_for_each_path() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=hello.example", "-addext", "subjectAltName=DNS:hello.example"])
        .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let scene = Scene::set("edge");
    let proxy = format!(
        "{{host: {NAME}, ports: [{{port: 3001, path_prefixes: [/slow]}}], \
         tls: {{certificate: \"file://{}\", key: \"file://{}\"}}}}",
        certificate.display(),
        key.display(),
    );
    let app = |version| App {
        proxy: Some(proxy.clone()),
        env: vec![("SECOND_PORT", "3001".to_owned())],
        ..scene.app(version)
    };
    let asks = |path: &str| ask(&scene.host, &certificate, &format!("https://{NAME}{path}"));
    for version in ["v1", "v2"] {
        scene.deploy(&app(version)).succeeded();
        let (main, second) = (asks("/"), asks("/slow?ms=1"));
        for (answer, port) in [(&main, 3000), (&second, 3001)] {
            let from = format!("x-version: {version}\r\nx-port: {port}\r\n");
            assert!(answer.starts_with("http/2 200") && answer.contains(&from), "{answer}");
        }
    }
    let insecure = ask(&scene.host, &certificate, &format!("http://{NAME}/slow?ms=1"));
    let secure = format!("location: https://{NAME}/slow?ms=1\r\n");
    assert!(insecure.starts_with("http/1.1 30") && insecure.contains(&secure), "{insecure}");
}
