//! The ports of another proxy, as Kamal's has them, change hands under load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{Expect, Scene, get};

/// What answers on port 80 of the host, and has it published by Docker as Kamal's proxy has.
const PROXY: &str = "kamal-proxy";

#[tokio::test(flavor = "multi_thread")]
async fn the_ports_of_another_proxy_are_taken_over_under_load_and_no_request_fails() {
    let scene = Scene::set("adopt-ports");
    let adopt = ["adopt", "--from", PROXY, "--yes"];
    scene.cutover(&["proxy", "upgrade", "--http-port", "8080", "--https-port", "none"]).succeeded();
    scene.cutover(&adopt).exited(2, &["has no container kamal-proxy"]);
    scene.deploy(&scene.app("v1")).succeeded();
    let docker = |arguments: &[&str]| scene.host.exec(&[&["docker"], arguments].concat()).unwrap();
    let replica = scene.replicas().remove(0);
    let image = docker(&["inspect", "--format", "{{.Image}}", &replica]);
    let image = image.trim();
    let run = |name: &str, more: &[&str]| {
        let first = ["run", "--detach", "--restart", "unless-stopped", "--name", name];
        docker(&[&first, more, &["--env", "VERSION=kamal", image]].concat())
    };
    run(PROXY, &["--publish", "80:3000", "--publish", "443:3000"]);
    run("hello-web-1", &["--label", "service=hello", "--label", "role=web", "--label", "destination="]);
    let address = scene.host.http().unwrap();
    let load = scene.load();
    scene.serves("kamal").await;

    scene.cutover(&adopt).exited(2, &["speaks no TLS", "cutover proxy upgrade --https-port 8443"]);
    scene.cutover(&["proxy", "upgrade", "--https-port", "8443"]).succeeded();
    run("blog-web-1", &["--label", "service=my_blog", "--label", "role=web", "--label", "destination="]);
    scene.cutover(&adopt).exited(2, &["also answers for my_blog"]);
    docker(&["rm", "--force", "blog-web-1"]);
    scene.host.exec(&["mkdir", "-p", "/root/.kamal/lock-hello"]).unwrap();
    scene.cutover(&adopt).exited(8, &["Kamal's lock is held", "kamal lock release"]);
    scene.host.exec(&["rmdir", "/root/.kamal/lock-hello"]).unwrap();
    scene.cutover(&["adopt", "--from", PROXY]).exited(2, &["--yes"]);
    // What a host's own firewall lets in is not what Docker publishes.
    for rule in ["-p tcp --dport 8080 -j DROP", "-p tcp --dport 80 -j ACCEPT"] {
        let rule: Vec<&str> = ["iptables", "-A", "INPUT"].into_iter().chain(rule.split(' ')).collect();
        scene.host.exec(&rule).unwrap();
    }
    assert!(get(address).await.unwrap().contains("x-version: kamal"));

    scene.cutover(&adopt).exited(0, &["answers on port 80 and 443", "hello-web-1", "kamal app stop"]);
    scene.serves("v1").await;
    let report = load.stop().await;
    let (kamal, v1) = (&report.by_version[&Some("kamal".into())], &report.by_version[&Some("v1".into())]);
    assert!(report.failed.is_empty(), "{kamal:?}\n{v1:?}\n{:?}", report.failed);
    assert!(kamal.answered > 0 && v1.last > kamal.last);

    // Nothing is left of it, and a second time changes nothing.
    let rules = scene.host.exec(&["sh", "-c", "iptables -S; iptables -t nat -S"]).unwrap();
    assert!(!rules.contains("cutover-adopt"), "{rules}");
    let command = docker(&["inspect", "--format", "{{.Config.Cmd}}", "cutover-proxy"]);
    assert!(command.contains("0.0.0.0:80 ") && command.contains("0.0.0.0:443"), "{command}");
    assert!(!command.contains("8080") && !command.contains("8443"), "{command}");
    let state = docker(&["inspect", "--format", "{{.State.Running}}", PROXY]);
    assert_eq!(state.trim(), "false");
    scene.cutover(&adopt).exited(0, &["nothing to take over"]);
    scene.deploy(&scene.app("v2")).succeeded();
    scene.serves("v2").await;
}
