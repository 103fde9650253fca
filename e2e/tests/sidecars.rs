//! A server of a model beside the application: switched with the version that asks it, shared by those that want the same, and
//! reached by nobody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::net::{TcpListener, UdpSocket};

use cutover_e2e::{App, Ended};
use support::{Expect, Scene, get};

/// Writes the application's next state with a sidecar of that version, with more of an environment, and deploys it.
fn deploy(scene: &Scene, app: &App, model: &str, env: &str) -> Ended {
    write(scene, app, model, env, "");
    scene.cutover(&["deploy", "--version", &app.version])
}

/// The same without the deployment, with `more` of the section.
fn write(scene: &Scene, app: &App, model: &str, env: &str, more: &str) {
    let asking = App { env: vec![("MODEL_SERVER", "embedder:8080".to_owned())], soak: "1s", ..app.clone() };
    scene.project.write(&asking).unwrap();
    let file = scene.project.deploy_file();
    let text = fs::read_to_string(&file).unwrap();
    let sidecar = format!(
        "sidecars:\n  embedder:\n    builder: {{context: ., args: {{VERSION: {model}}}}}\n    port: 8080\n    \
         resources: {{memory: 64m}}\n    readiness_probe: {{path: /up, period: 250ms}}\n    \
         env: {{PORT: \"8080\"{env}}}\n{more}"
    );
    fs::write(&file, format!("{text}{sidecar}")).unwrap();
}

/// What the application says.
async fn said(scene: &Scene) -> String {
    get(scene.host.http().unwrap()).await.unwrap()
}

/// The containers of the sidecar, by name.
fn sidecars(scene: &Scene) -> Vec<String> {
    scene.replicas().into_iter().filter(|name| name.contains("-embedder-")).collect()
}

/// What Docker says of a container.
fn inspect(scene: &Scene, name: &str, format: &str) -> String {
    scene.host.exec(&["docker", "inspect", "--format", format, name]).unwrap().trim().to_owned()
}

/// Whether something that runs in the network of a container gets a connection.
fn reaches(scene: &Scene, container: &str, host: &str, port: u16) -> bool {
    let pid = inspect(scene, container, "{{.State.Pid}}");
    let script = format!("timeout 2 bash -c '</dev/tcp/{host}/{port}'");
    scene.host.exec(&["nsenter", "-t", &pid, "-n", "sh", "-c", &script]).is_ok()
}

/// The address of a container on the network of sidecars.
fn address(scene: &Scene, name: &str) -> String {
    let format = "{{range $name, $own := .NetworkSettings.Networks}}{{$name}} {{$own.IPAddress}}\n{{end}}";
    let networks = inspect(scene, name, format);
    let of_sidecars = networks.lines().find(|line| line.matches('.').count() == 6).unwrap();
    of_sidecars.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_is_switched_with_the_version_that_asks_it_and_shared_by_those_that_want_the_same() {
    let scene = Scene::set("sidecars");
    deploy(&scene, &scene.app("v1"), "m1", "").succeeded();
    assert!(said(&scene).await.contains("by model m1"));
    let first = sidecars(&scene);
    assert_eq!(first.len(), 1);
    let id = inspect(&scene, &first[0], "{{.Id}}");
    assert_eq!(inspect(&scene, &first[0], "{{.HostConfig.RestartPolicy.Name}}"), "always");

    let load = scene.load();
    // Another version that wants the same of it asks the same container.
    let built = deploy(&scene, &scene.app("v2"), "m1", "");
    built.succeeded();
    assert_eq!((sidecars(&scene), inspect(&scene, &first[0], "{{.Id}}")), (first.clone(), id));
    assert!(said(&scene).await.contains("hello from v2"));

    // Another version of it, and nothing else.
    deploy(&scene, &scene.app("v2"), "m2", "").succeeded();
    assert!(said(&scene).await.contains("by model m2"));
    let second = sidecars(&scene);
    assert!(second.len() == 1 && second != first, "{second:?}");

    // One that is never ready, and one that exits, come to nothing.
    let late = deploy(&scene, &scene.app("v2"), "m3", ", READY: never");
    late.exited(4, &["1 of 1 replicas", "embedder", "not ready within 5s"]);
    let crash = deploy(&scene, &scene.app("v2"), "m4", ", CRASH: \"3\"");
    crash.exited(4, &["embedder", "exited with code 3", "crashing on purpose"]);
    assert_eq!(sidecars(&scene), second);

    scene.cutover(&["rollback"]).succeeded();
    assert!(said(&scene).await.contains("by model m1"));
    assert_eq!(sidecars(&scene), first);
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);

    // It stays what it is when it is started anew, though the network is gone that it was made on.
    deploy(&scene, &scene.app("v3"), "m1", "").succeeded();
    assert_eq!(sidecars(&scene), first);
    scene.host.exec(&["docker", "restart", "--time", "1", &first[0]]).unwrap();
    scene.serves("v3").await;
    // One that has ended behind everybody's back is made anew by whoever needs it.
    scene.host.exec(&["docker", "rm", "--force", &first[0]]).unwrap();
    deploy(&scene, &scene.app("v4"), "m1", "").succeeded();
    assert!(said(&scene).await.contains("hello from v4"));

    // Of the versions that are gone, no network is left.
    let networks = scene.host.exec(&["docker", "network", "ls", "--format", "{{.Name}}"]).unwrap();
    let own = networks.lines().filter(|name| name.starts_with("cutover.production.hello."));
    assert_eq!(own.count(), 1, "{networks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_replicas_reaches_a_sidecar_and_it_reaches_nothing() {
    let scene = Scene::set("sidecars-alone");
    // This machine, as the host sees it.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(scene.host.http().unwrap()).unwrap();
    let outside = socket.local_addr().unwrap().ip().to_string();
    let listener = TcpListener::bind((outside.as_str(), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    deploy(&scene, &scene.app("v1"), "m1", "").succeeded();
    let sidecar = sidecars(&scene).remove(0);
    let replica = scene.replicas().into_iter().find(|name| *name != sidecar).unwrap();
    let at = address(&scene, &sidecar);

    assert!(reaches(&scene, &replica, &at, 8080) && reaches(&scene, &replica, &outside, port));
    assert!(!reaches(&scene, &sidecar, &outside, port), "it has a way out");
    // Another service's network, and Docker's usual one.
    for network in ["other", "bridge"] {
        if network == "other" {
            scene.host.exec(&["docker", "network", "create", network]).unwrap();
        }
        let image = inspect(&scene, &replica, "{{.Config.Image}}");
        let name = format!("stranger-{network}");
        let run = ["docker", "run", "--detach", "--name", &name, "--network", network, &image];
        scene.host.exec(&run).unwrap();
        assert!(!reaches(&scene, &name, &at, 8080), "from {network}");
        scene.host.exec(&["docker", "rm", "--force", &name]).unwrap();
    }
    assert_eq!(inspect(&scene, &sidecar, "{{.HostConfig.PortBindings}}"), "map[]");
    let published = std::net::TcpStream::connect((scene.host.address.as_str(), 8080));
    assert!(published.is_err(), "from outside of the host");

    // One that may has a way out, and is reached no more than before.
    write(&scene, &scene.app("v1"), "m1", "", "    egress: true\n");
    scene.cutover(&["deploy", "--version", "v1"]).succeeded();
    let free = sidecars(&scene).remove(0);
    assert_ne!(free, sidecar);
    assert!(reaches(&scene, &free, &outside, port), "it has no way out");
    assert!(said(&scene).await.contains("by model m1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_takes_too_much_memory_is_started_anew_alone_and_named() {
    let scene = Scene::set("sidecars-memory");
    deploy(&scene, &scene.app("v1"), "m1", ", HOARD: \"200\", HOARD_AFTER: 12s").succeeded();
    let sidecar = sidecars(&scene).remove(0);
    let replicas: Vec<String> = scene.replicas().into_iter().filter(|name| *name != sidecar).collect();
    let started = || replicas.iter().map(|name| inspect(&scene, name, "{{.State.StartedAt}}")).collect();
    let before: Vec<String> = started();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let said = loop {
        let said = scene.cutover(&["status"]).out;
        if said.contains("started anew") || std::time::Instant::now() > deadline {
            break said;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    };
    assert!(said.contains(&format!("started anew: {sidecar} on {}", scene.host.address)), "{said}");
    assert!(said.contains("it was killed for want of memory"), "{said}");
    assert_eq!(started(), before, "the application's own replicas go on");
    assert_ne!(inspect(&scene, &sidecar, "{{.RestartCount}}"), "0");
    scene.serves("v1").await;
}
