//! The ports of another proxy, as Kamal's has them, change hands under load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{Expect, Scene, get};

/// What answers on port 80 of the host, and has it published by Docker as Kamal's proxy has.
const PROXY: &str = "kamal-proxy";
const ADOPT: [&str; 4] = ["adopt", "--from", PROXY, "--yes"];

fn docker(scene: &Scene, arguments: &[&str]) -> String {
    scene.host.exec(&[&["docker"], arguments].concat()).unwrap()
}

/// Starts a container with the application's image, whose answers are of the version `kamal`.
fn run(scene: &Scene, name: &str, more: &[&str]) {
    let replica = scene.replicas().into_iter().find(|name| name.starts_with("hello-production-")).unwrap();
    let image = docker(scene, &["inspect", "--format", "{{.Image}}", &replica]);
    let first = ["run", "--detach", "--restart", "unless-stopped", "--name", name];
    docker(scene, &[&first, more, &["--env", "VERSION=kamal", image.trim()]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ports_of_another_proxy_are_taken_over_under_load_and_no_request_fails() {
    let scene = Scene::set("adopt-ports");
    scene.cutover(&["proxy", "upgrade", "--http-port", "8080", "--https-port", "none"]).succeeded();
    scene.cutover(&ADOPT).exited(2, &["has no container kamal-proxy"]);
    scene.deploy(&scene.app("v1")).succeeded();
    run(&scene, PROXY, &["--publish", "80:3000", "--publish", "443:3000"]);
    run(
        &scene,
        "hello-web-1",
        &["--label", "service=hello", "--label", "role=web", "--label", "destination="],
    );
    let address = scene.host.http().unwrap();
    scene.serves("kamal").await;
    let load = scene.load();

    scene.cutover(&ADOPT).exited(2, &["speaks no TLS", "cutover proxy upgrade --https-port 8443"]);
    scene.cutover(&["proxy", "upgrade", "--https-port", "8443"]).succeeded();
    run(
        &scene,
        "blog-web-1",
        &["--label", "service=my_blog", "--label", "role=web", "--label", "destination="],
    );
    scene.cutover(&ADOPT).exited(2, &["also answers for my_blog"]);
    docker(&scene, &["rm", "--force", "blog-web-1"]);
    scene.host.exec(&["mkdir", "-p", "/root/.kamal/lock-hello"]).unwrap();
    scene.cutover(&ADOPT).exited(8, &["Kamal's lock is held", "kamal lock release"]);
    scene.host.exec(&["rmdir", "/root/.kamal/lock-hello"]).unwrap();
    scene.cutover(&["adopt", "--from", PROXY]).exited(2, &["--yes"]);
    // What a host's own firewall lets in is not what Docker publishes.
    for rule in ["-p tcp --dport 8080 -j DROP", "-p tcp --dport 80 -j ACCEPT"] {
        let rule: Vec<&str> = ["iptables", "-A", "INPUT"].into_iter().chain(rule.split(' ')).collect();
        scene.host.exec(&rule).unwrap();
    }
    assert!(get(address).await.unwrap().contains("x-version: kamal"));

    scene.cutover(&ADOPT).exited(0, &["answers on port 80 and 443", "hello-web-1", "kamal app stop"]);
    scene.serves("v1").await;
    let report = load.stop().await;
    let (kamal, v1) = (&report.by_version[&Some("kamal".into())], &report.by_version[&Some("v1".into())]);
    assert!(report.failed.is_empty(), "{kamal:?}\n{v1:?}\n{:?}", report.failed);
    assert!(kamal.answered > 0 && v1.last > kamal.last);

    // Nothing is left of it, and a second time changes nothing.
    let rules = scene.host.exec(&["sh", "-c", "iptables -S; iptables -t nat -S"]).unwrap();
    assert!(!rules.contains("cutover-adopt"), "{rules}");
    let command = docker(&scene, &["inspect", "--format", "{{.Config.Cmd}}", "cutover-proxy"]);
    assert!(command.contains("0.0.0.0:80 ") && command.contains("0.0.0.0:443"), "{command}");
    assert!(!command.contains("8080") && !command.contains("8443"), "{command}");
    let state = docker(&scene, &["inspect", "--format", "{{.State.Running}}", PROXY]);
    assert_eq!(state.trim(), "false");
    scene.cutover(&ADOPT).exited(0, &["nothing to take over"]);
    scene.deploy(&scene.app("v2")).succeeded();
    scene.serves("v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_it_is_cut_off_the_host_serves_and_the_same_command_goes_on() {
    let scene = Scene::set("adopt-cut");
    scene.cutover(&["proxy", "upgrade", "--http-port", "8080", "--https-port", "none"]).succeeded();
    scene.deploy(&scene.app("v1")).succeeded();
    run(&scene, PROXY, &["--publish", "80:3000"]);
    scene.serves("kamal").await;
    let load = scene.load();
    // A firewall that knows what Docker publishes no more than usual.
    let firewall = |action: &str| {
        scene.host.exec(&["iptables", action, "INPUT", "-p", "tcp", "--dport", "80", "-j", "DROP"]).unwrap()
    };
    firewall("-A");
    // After each thing that is done, one more each time.
    for done in 1..=4 {
        let mut command = scene.plane.command(scene.project.folder(), &ADOPT);
        let mut adopting = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(adopting.stdout.take().unwrap()).lines().map(Result::unwrap);
        let last = lines.filter(|line| line.starts_with("+ ")).nth(done - 1);
        adopting.kill().unwrap();
        adopting.wait().unwrap();
        if last.is_none() {
            break;
        }
    }
    scene.cutover(&ADOPT).exited(8, &["port 80", "could be reached from here before", "ufw allow"]);
    scene.serves("v1").await;
    firewall("-D");
    scene.cutover(&ADOPT).exited(0, &["answers on port 80"]);
    scene.serves("v1").await;
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    scene.cutover(&ADOPT).exited(0, &["nothing to take over"]);
    let rules = scene.host.exec(&["sh", "-c", "iptables -S; iptables -t nat -S"]).unwrap();
    assert!(!rules.contains("cutover-adopt"), "{rules}");
    let policy = docker(&scene, &["inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", PROXY]);
    assert_eq!(policy.trim(), "no");
}
