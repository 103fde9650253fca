//! Several builders share the work, and one that dies in the middle of it leaves nothing but its place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use cutover_core::{DestinationName, Program, ServiceKey, Stage, Status, Task};
use cutover_e2e::{App, BuilderProcess, ControlPlane, Host, Project};
use cutover_store::Store;
use support::{Expect, Scene};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(120);
const BUSYBOX: &str = "/bin/busybox";
const BUILD: Task = Task { stage: Stage::Build, host: None };

/// A step of a build waits here until it may pass.
struct Gate {
    listener: TcpListener,
    address: Ipv4Addr,
}

impl Gate {
    /// One that the builds on these hosts reach: they have no route but that to this machine.
    async fn on_the_way_of(hosts: &[&Host]) -> Self {
        for host in hosts {
            let machine = machine_of(host).to_string();
            host.exec(&["ip", "route", "replace", "default", "via", &machine]).unwrap();
        }
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        Self { listener, address: machine_of(hosts[0]) }
    }

    /// Writes a Dockerfile with a step that waits here.
    fn put_into(&self, project: &Project) {
        std::fs::copy(BUSYBOX, project.folder().join("busybox")).expect("busybox-static must be installed");
        let (address, port) = (self.address, self.listener.local_addr().unwrap().port());
        let dockerfile = format!(
            "FROM scratch AS gate\nCOPY busybox {BUSYBOX}\n\
             RUN [\"{BUSYBOX}\", \"sh\", \"-c\", \"{BUSYBOX} nc {address} {port} >/passed && {BUSYBOX} grep -q pass /passed\"]\n\
             FROM scratch\nCOPY --from=gate /passed /passed\n{REST}"
        );
        std::fs::write(project.folder().join("Dockerfile"), dockerfile).unwrap();
    }

    /// The next build that comes to its step.
    async fn reached(&self) -> TcpStream {
        timeout(LIMIT, self.listener.accept()).await.expect("no build comes to its step").unwrap().0
    }
}

const REST: &str = "COPY hello /hello\nARG VERSION=unknown\nENV VERSION=$VERSION\nUSER 65532:65532\n\
                    STOPSIGNAL SIGTERM\nENTRYPOINT [\"/hello\"]\n";

async fn pass(mut build: TcpStream) {
    build.write_all(b"pass\n").await.unwrap();
}

/// The build is gone, and with it its end of the connection.
async fn ended(mut build: TcpStream) {
    timeout(LIMIT, build.read_to_end(&mut Vec::new())).await.expect("the step still runs").ok();
}

/// This machine's end of the cable to a host.
fn machine_of(host: &Host) -> Ipv4Addr {
    let address: Ipv4Addr = host.address.parse().unwrap();
    Ipv4Addr::from(u32::from(address) - 1)
}

fn docker_of(host: &Host) -> String {
    format!("ssh://root@{}", host.address)
}

/// A builder on each of the hosts, once all of them take work.
async fn builders<const N: usize>(plane: &ControlPlane, hosts: [&Host; N]) -> [BuilderProcess; N] {
    let builders = hosts.map(|host| BuilderProcess::start(plane, &docker_of(host)).unwrap());
    let journal = plane.journal().await.unwrap();
    let count = async || {
        let present = journal.bus().presence(&[], Duration::from_millis(200)).await.unwrap();
        present.iter().filter(|present| present.program == Program::Builder).count()
    };
    timeout(LIMIT, async { while count().await < N {} }).await.expect("the builders aren't there");
    builders
}

fn deploy(plane: &ControlPlane, folder: &Path) -> Child {
    plane.command(folder, &["deploy"]).stdout(Stdio::null()).spawn().unwrap()
}

/// Who has claimed the build.
async fn claimed(plane: &ControlPlane, service: &str) -> String {
    let key = ServiceKey { destination: production(), service: service.parse().unwrap() };
    let log = plane.journal().await.unwrap().service(&key).await.unwrap();
    match log.service().current.as_ref().unwrap().state(&BUILD).status {
        Status::Claimed { claim, .. } => claim.worker,
        other => panic!("{other:?}"),
    }
}

fn production() -> DestinationName {
    "production".parse().unwrap()
}

fn is_of(worker: &str, builder: &BuilderProcess) -> bool {
    worker.ends_with(&format!(":{}", builder.id()))
}

fn images_of(host: &Host) -> String {
    host.exec(&["docker", "images", "--all", "--format", "{{.Repository}}:{{.Tag}}"]).unwrap()
}

/// Nothing is left of builds but images that have a name and content that is whole.
async fn nothing_is_left(plane: &ControlPlane, hosts: &[&Host], builders: &[&BuilderProcess]) {
    for host in hosts {
        let images = images_of(host);
        assert!(!images.contains("<none>") && !images.contains("127.0.0.1"), "{images}");
    }
    for builder in builders {
        let left = std::fs::read_dir(builder.scratch()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["log"]);
    }
    assert_eq!(std::fs::read_dir(plane.store().join("incoming")).unwrap().count(), 0);
    let store = Store::open(plane.store()).await.unwrap();
    for entry in store.list().await.unwrap() {
        store.verify(&entry.digest).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_are_built_at_once_by_two_builders() {
    let hosts =
        ["builders-a", "builders-b"].map(|name| Host::up(&format!("{name}-{}", std::process::id())).unwrap());
    let [one, two] = hosts.each_ref();
    let plane = ControlPlane::up_without(Program::Builder, &[one, two]).unwrap();
    let gate = Gate::on_the_way_of(&[one, two]).await;
    let mut projects = Vec::new();
    for (service, host) in [("hello", one), ("other", two)] {
        let project = Project::new().unwrap();
        project.write(&App { service, soak: "0s", ..App::new("v1", &[&host.address]) }).unwrap();
        gate.put_into(&project);
        plane.run(project.folder(), &["setup"]).unwrap().succeeded();
        projects.push(project);
    }
    let builders = builders(&plane, [one, two]).await;
    let deploying: Vec<Child> = projects.iter().map(|project| deploy(&plane, project.folder())).collect();
    // Each builder does one thing at a time, and neither build can end before both have come here.
    let (first, second) = (gate.reached().await, gate.reached().await);
    let workers = [claimed(&plane, "hello").await, claimed(&plane, "other").await];
    for builder in &builders {
        assert_eq!(workers.iter().filter(|worker| is_of(worker, builder)).count(), 1, "{workers:?}");
    }
    pass(first).await;
    pass(second).await;
    for mut deploy in deploying {
        assert!(deploy.wait().unwrap().success());
    }
    nothing_is_left(&plane, &[one, two], &builders.each_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_builder_is_killed_is_stopped_and_done_by_another_one() {
    let hosts =
        ["killed-a", "killed-b"].map(|name| Host::up(&format!("{name}-{}", std::process::id())).unwrap());
    let [one, two] = hosts.each_ref();
    let plane = ControlPlane::up_without(Program::Builder, &[one, two]).unwrap();
    let gate = Gate::on_the_way_of(&[one, two]).await;
    let project = Project::new().unwrap();
    project.write(&App { soak: "0s", ..App::new("v1", &[&one.address]) }).unwrap();
    gate.put_into(&project);
    plane.run(project.folder(), &["setup"]).unwrap().succeeded();
    let mut builders = builders(&plane, [one, two]).await;

    let mut deploying = deploy(&plane, project.folder());
    let build = gate.reached().await;
    let worker = claimed(&plane, "hello").await;
    let killed = builders.iter_mut().find(|builder| is_of(&worker, builder)).unwrap();
    killed.kill().unwrap();
    ended(build).await;
    let build = gate.reached().await;
    assert_ne!(claimed(&plane, "hello").await, worker);
    pass(build).await;
    assert!(deploying.wait().unwrap().success());
    nothing_is_left(&plane, &[one, two], &builders.each_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_builder_is_killed_on_its_way_into_the_store_is_brought_there_by_the_next_one() {
    let host = Host::up(&format!("exported-{}", std::process::id())).unwrap();
    let plane = ControlPlane::up_without(Program::Builder, &[&host]).unwrap();
    let scene = Scene { project: Project::new().unwrap(), plane, host, others: Vec::new() };
    let (plane, host) = (&scene.plane, &scene.host);
    scene.project.write(&App { soak: "0s", ..scene.app("v1") }).unwrap();
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(8 << 20).collect();
    std::fs::write(scene.project.folder().join("noise"), noise).unwrap();
    let dockerfile = format!("FROM scratch\nCOPY noise /noise\n{REST}");
    std::fs::write(scene.project.folder().join("Dockerfile"), dockerfile).unwrap();
    scene.cutover(&["setup"]).succeeded();

    // What the host sends takes its time.
    let slow = [
        "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "4mbit", "burst", "64kb", "latency",
        "50ms",
    ];
    host.exec(&slow).unwrap();
    let [mut killed] = builders(plane, [host]).await;
    let mut deploying = deploy(plane, scene.project.folder());
    // The context is in the store by then.
    scene.until(|current| matches!(current.state(&BUILD).status, Status::Claimed { .. })).await;
    let incoming = plane.store().join("incoming");
    let half_is_there = || {
        let files = std::fs::read_dir(&incoming).unwrap().flatten();
        files.filter_map(|file| file.metadata().ok()).any(|file| file.len() > 1 << 20)
    };
    let on_its_way = async {
        while !half_is_there() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, on_its_way).await.expect("nothing comes into the store");
    killed.kill().unwrap();
    assert!(half_is_there() && images_of(host).contains("127.0.0.1"));
    host.exec(&["tc", "qdisc", "del", "dev", "eth0", "root"]).unwrap();
    let [next] = builders(plane, [host]).await;
    assert!(deploying.wait().unwrap().success());
    scene.serves("v1").await;
    nothing_is_left(plane, &[host], &[&killed, &next]).await;
}
