//! A page of one version may be followed by requests that come to the other: each finds the assets of both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;

use cutover_e2e::{App, Ended};
use support::{Expect, Scene};

const DOCKERFILE: &str = "\
FROM scratch
COPY hello /hello
COPY assets /assets
ARG VERSION=unknown
ENV VERSION=$VERSION
USER 65532:65532
ENTRYPOINT [\"/hello\"]
";

/// Deploys the application with assets of this version.
fn deploy(scene: &Scene, app: &App) -> Ended {
    scene.project.write(app).unwrap();
    let (folder, file) = (scene.project.folder(), scene.project.deploy_file());
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("container: {", "container: {assets: /assets, ")).unwrap();
    fs::write(folder.join("Dockerfile"), DOCKERFILE).unwrap();
    let _ = fs::remove_dir_all(folder.join("assets"));
    fs::create_dir_all(folder.join("assets/images")).unwrap();
    for file in [
        format!("app-{}.css", app.version),
        format!("images/logo-{}.svg", app.version),
        "manifest".to_owned(),
    ] {
        fs::write(folder.join("assets").join(file), &app.version).unwrap();
    }
    scene.cutover(&["deploy", "--version", &app.version])
}

/// What a replica finds in its folder: the names, and what its manifest says.
fn found(scene: &Scene, replica: &str) -> (String, String) {
    let pid = scene.host.exec(&["docker", "inspect", "--format", "{{.State.Pid}}", replica]).unwrap();
    let folder = format!("/proc/{}/root/assets", pid.trim());
    let names = scene
        .host
        .exec(&["sh", "-c", &format!("cd {folder} && find . -type f | sort | xargs echo")])
        .unwrap();
    let manifest = scene.host.exec(&["cat", &format!("{folder}/manifest")]).unwrap();
    (names.trim().to_owned(), manifest)
}

/// The files of these versions.
fn of(versions: &[&str]) -> String {
    let mut names: Vec<String> = versions
        .iter()
        .flat_map(|version| [format!("./app-{version}.css"), format!("./images/logo-{version}.svg")])
        .chain(["./manifest".to_owned()])
        .collect();
    names.sort();
    names.join(" ")
}

fn volumes(scene: &Scene) -> usize {
    scene
        .host
        .exec(&["docker", "volume", "ls", "--quiet", "--filter", "label=cutover.assets"])
        .unwrap()
        .lines()
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_find_the_assets_of_both_and_no_older_ones() {
    let scene = Scene::set("assets");
    let app = |version: &str| App { replicas: 1, soak: "0s", ..scene.app(version) };
    deploy(&scene, &app("v1")).succeeded();
    let first = scene.replicas().remove(0);
    assert_eq!(found(&scene, &first), (of(&["v1"]), "v1".to_owned()));

    deploy(&scene, &App { warm: Some("10m"), ..app("v2") }).succeeded();
    let second = scene.replicas().into_iter().find(|name| *name != first).unwrap();
    assert_eq!(found(&scene, &first), (of(&["v1", "v2"]), "v1".to_owned()));
    assert_eq!(found(&scene, &second), (of(&["v1", "v2"]), "v2".to_owned()));
    assert_eq!(volumes(&scene), 2);

    deploy(&scene, &App { env: vec![("CRASH", "1".into())], ..app("bad") })
        .exited(4, &["exited with code 1"]);
    assert_eq!((volumes(&scene), scene.replicas().len()), (2, 2));

    deploy(&scene, &app("v3")).succeeded();
    assert_eq!(volumes(&scene), 1, "those of the others have gone with them");
    deploy(&scene, &app("v4")).succeeded();
    let last = scene.replicas().remove(0);
    assert_eq!(found(&scene, &last), (of(&["v3", "v4"]), "v4".to_owned()));
    assert_eq!(volumes(&scene), 1);

    // A folder that the image doesn't have is an empty one.
    scene.project.write(&app("v5")).unwrap();
    let file = scene.project.deploy_file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("container: {", "container: {assets: /nowhere, ")).unwrap();
    scene.cutover(&["deploy", "--version", "v6"]).succeeded();
    assert_eq!(
        scene.host.exec(&["docker", "ps", "--all", "--quiet"]).unwrap().lines().count(),
        2,
        "nothing else is left"
    );
}
