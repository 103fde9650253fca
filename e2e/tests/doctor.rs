//! What a deployment stands on is looked at before it has to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;

use cutover_core::Program;
use support::{Expect, Scene};

/// What `cutover doctor` says, and its exit code.
fn doctor(scene: &Scene) -> (Option<i32>, String) {
    let ended = scene.cutover(&["doctor"]);
    (ended.code, ended.out)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_found_with_what_to_do_about_it() {
    let scene = Scene::set("doctor");
    let (code, said) = doctor(&scene);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "  deploy file: holds together, with 1 destination",
        "  bus: the journal is ",
        "  programs: shipper: 1 of version ",
        "  store: takes what it is given, and gives it back",
        &format!("  {}: Docker 20.10", scene.host.address),
        &format!("  {}: proxy ", scene.host.address),
        "of memory free",
        // The hosts of tests are as Debian makes them.
        "live-restore is off",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }

    // A name that leads elsewhere, a secret that isn't there, a network and an accessory that nobody made, a host that is none.
    let file = scene.project.deploy_file();
    let text = fs::read_to_string(&file).unwrap();
    let text =
        text.replace("container: {read_only: true}", "container: {read_only: true, networks: [shared]}");
    let hosts = format!("hosts: [{}, {{address: 127.0.0.2, port: 1}}]", scene.host.address);
    let text = text.replace(&format!("hosts: [{}]", scene.host.address), &hosts);
    let more = "proxy: {host: localhost}\nenv: {secret: {TOKEN: 'env://CUTOVER_SURELY_NOT_SET'}}\naccessories: {redis: {image: redis, hosts: [HOST]}}\n";
    let more = more.replace("HOST", &scene.host.address);
    fs::write(&file, format!("{text}{more}")).unwrap();
    scene.host.exec(&["docker", "stop", "cutover-proxy"]).unwrap();
    let (code, said) = doctor(&scene);
    // That of the first that is wrong.
    assert_eq!(code, Some(2), "{said}");
    for expected in [
        "✗ secrets of production: env.secret.TOKEN  env://CUTOVER_SURELY_NOT_SET  here: ",
        "! names of production: localhost leads to ",
        "there is no network shared",
        "→ make it there with `docker network create shared`",
        "the accessory redis isn't there",
        "→ cutover accessory boot redis",
        "✗ 127.0.0.2: ",
        "no proxy answers",
        "→ put it there with `cutover setup`",
        "4 wrong, ",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let json = scene.cutover(&["doctor", "--json"]);
    let last = json.out.lines().last().unwrap();
    assert!(json.code == Some(2) && last.starts_with(r#"{"wrong":4,"#), "{}", json.out);
    scene.cutover(&["doctor", "nowhere"]).exited(2, &["there is no destination 'nowhere'"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_run_is_named_with_what_to_start() {
    let scene = Scene::set_without(Program::Migrator, "doctor-lacking");
    let (code, said) = doctor(&scene);
    assert_eq!(code, Some(7), "{said}");
    assert!(
        said.contains("✗ programs: no migrator runs") && said.contains("start cutover-migrator"),
        "{said}"
    );
}
