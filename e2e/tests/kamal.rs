//! A project of Kamal is deployed as it is, and what is imported from it is the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;

use support::{Expect, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_project_of_kamal_deploys_as_it_is_and_its_import_is_the_same() {
    let scene = Scene::set("kamal");
    let folder = scene.project.folder();
    fs::remove_file(scene.project.deploy_file()).unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let address = &scene.host.address;
    let file = [
        "service: hello",
        "image: acme/hello",
        &format!("servers: [{address}]"),
        "registry: {server: \"localhost:5555\"}",
        "proxy:",
        "  app_port: 3000",
        "  healthcheck: {interval: 1}",
        "builder:",
        "  context: .",
        "  args: {VERSION: <%= ENV.fetch(\"NO_SUCH_VERSION\", \"k1\") %>}",
        "env:",
        "  clear: {PLAIN: yes}",
        "  secret: [TOKEN]",
        "boot: {limit: 1}",
    ];
    write("config/deploy.yml", &file.join("\n"));
    write(".kamal/secrets", "TOKEN=$(cat token.txt)\n");
    write("token.txt", "of a file");
    scene.host.exec(&["docker", "network", "create", "kamal"]).unwrap();
    write(".dockerignore", "config\n.kamal\ncutover.yaml\ntoken.txt\n");

    scene.cutover(&["deploy"]).exited(0, &["config/deploy.yml is a file of Kamal", "boot.limit"]);
    scene.serves("k1").await;
    let [replica] = scene.replicas().try_into().unwrap();
    let init = [
        "docker",
        "inspect",
        "--format",
        "{{.HostConfig.Init}} {{json .NetworkSettings.Networks}}",
        &replica,
    ];
    let init = scene.host.exec(&init).unwrap();
    assert!(init.starts_with("false") && init.contains("\"kamal\""), "{init}");
    let env = ["docker", "inspect", "--format", "{{json .Config.Env}}", &replica];
    let env = scene.host.exec(&env).unwrap();
    assert!(env.contains("\"TOKEN=of a file\"") && env.contains("\"PLAIN=true\""), "{env}");

    scene
        .cutover(&["import"])
        .exited(0, &["wrote cutover.yaml", "config/deploy.yml:6: proxy.app_port: is port"]);
    let imported = fs::read_to_string(scene.project.deploy_file()).unwrap();
    assert!(!imported.contains("of a file"), "{imported}");
    scene.cutover(&["deploy"]).exited(0, &["nothing to do"]);
}
