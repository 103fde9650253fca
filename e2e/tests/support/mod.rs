//! What the tests of whole deployments share.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod answers;

use std::net::SocketAddr;
use std::time::Duration;

use cutover_core::{Deployment, Program, Service};
use cutover_e2e::{App, ControlPlane, Ended, Host, Load, LoadPlan, Project};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A host of a test's own, with a proxy, a control plane and an application.
pub struct Scene {
    pub project: Project,
    pub plane: ControlPlane,
    pub host: Host,
    /// The other hosts that the application is deployed to.
    pub others: Vec<Host>,
}

impl Scene {
    /// Sets it up. The name is that of the host: no two tests have the same.
    pub fn set(name: &str) -> Self {
        Self::set_with(name, 0)
    }

    /// The same with so many hosts more.
    pub fn set_with(name: &str, others: usize) -> Self {
        let host = Host::up(&format!("{name}-{}", std::process::id())).unwrap();
        let other = |number| Host::up(&format!("{name}-{number}-{}", std::process::id())).unwrap();
        Self::set_on(host, (0..others).map(other).collect())
    }

    /// The same on hosts that are there.
    pub fn set_on(host: Host, others: Vec<Host>) -> Self {
        let hosts: Vec<&Host> = [&host].into_iter().chain(&others).collect();
        let plane = ControlPlane::up(&hosts, 1).unwrap();
        Self::set_by(plane, host, others)
    }

    /// The same on one host with a control plane that lacks a program: the test has some of its own.
    pub fn set_without(absent: Program, name: &str) -> Self {
        let host = Host::up(&format!("{name}-{}", std::process::id())).unwrap();
        let plane = ControlPlane::up_without(absent, &[&host]).unwrap();
        Self::set_by(plane, host, Vec::new())
    }

    /// The same on one host with a control plane whose bus tells its users apart.
    pub fn set_secured(name: &str) -> Self {
        let host = Host::up(&format!("{name}-{}", std::process::id())).unwrap();
        let plane = ControlPlane::up_secured(&[&host]).unwrap();
        Self::set_by(plane, host, Vec::new())
    }

    fn set_by(plane: ControlPlane, host: Host, others: Vec<Host>) -> Self {
        let project = Project::new().unwrap();
        let scene = Self { project, plane, host, others };
        scene.project.write(&scene.app("v1")).unwrap();
        scene.cutover(&["setup"]).succeeded();
        scene
    }

    /// A healthy application on all hosts.
    pub fn app(&self, version: &str) -> App {
        let hosts: Vec<&str> =
            [&self.host].into_iter().chain(&self.others).map(|host| host.address.as_str()).collect();
        App::new(version, &hosts)
    }

    /// Runs `cutover` in the project's folder.
    pub fn cutover(&self, arguments: &[&str]) -> Ended {
        self.plane.run(self.project.folder(), arguments).unwrap()
    }

    /// Writes the application's next state and deploys it.
    pub fn deploy(&self, app: &App) -> Ended {
        self.project.write(app).unwrap();
        self.cutover(&["deploy", "--version", &app.version])
    }

    /// Load on the proxy of the host.
    pub fn load(&self) -> Load {
        load_on(&self.host)
    }

    /// Waits until the last deployment is as `reached` says.
    pub async fn until(&self, reached: impl Fn(&Deployment) -> bool) -> Deployment {
        let reached = |service: &Service| service.current.as_ref().is_some_and(&reached);
        self.until_service(reached).await.current.unwrap()
    }

    /// Waits until the journal says of the service what `reached` wants.
    pub async fn until_service(&self, reached: impl Fn(&Service) -> bool) -> Service {
        let journal = self.plane.journal().await.unwrap();
        let mut watch = journal.watch(&ControlPlane::key().unwrap()).await.unwrap();
        let wait = async {
            while !reached(watch.service()) {
                watch.changed().await.unwrap();
            }
            watch.service().clone()
        };
        tokio::time::timeout(Duration::from_secs(120), wait).await.expect("not reached within 120 s")
    }

    /// Waits until the proxy of the host answers with this version on 20 new connections in a row, so on each replica.
    pub async fn serves(&self, version: &str) {
        self.serves_on(&self.host, version).await;
    }

    /// The same of another host.
    pub async fn serves_on(&self, host: &Host, version: &str) {
        let address = host.http().unwrap();
        let expected = format!("x-version: {version}\r\n");
        let wait = async {
            let mut in_a_row = 0;
            while in_a_row < 20 {
                match tokio::time::timeout(Duration::from_secs(5), get(address)).await {
                    Ok(Ok(answer)) if answer.starts_with("http/1.1 200") && answer.contains(&expected) => {
                        in_a_row += 1;
                    }
                    _ => {
                        in_a_row = 0;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("not served within 30 s");
    }

    /// What runs on the host beside the proxy, by name.
    pub fn replicas(&self) -> Vec<String> {
        let names = self.host.exec(&["docker", "ps", "--all", "--format", "{{.Names}}"]).unwrap();
        names.lines().filter(|name| *name != "cutover-proxy").map(str::to_owned).collect()
    }
}

/// The answer to a request on a connection of its own, in lower case.
pub async fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hello.example\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.to_lowercase())
}

/// Load on the proxy of a host.
pub fn load_on(host: &Host) -> Load {
    Load::start(LoadPlan { rate: 200, ..LoadPlan::new(host.http().unwrap(), "hello.example") })
}

/// What is asserted of a command that has ended; its words are shown when it doesn't hold.
pub trait Expect {
    fn succeeded(&self);
    fn exited(&self, code: i32, saying: &[&str]);
}

impl Expect for Ended {
    fn succeeded(&self) {
        self.exited(0, &[]);
    }

    fn exited(&self, code: i32, saying: &[&str]) {
        let said = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "{said}");
        for text in saying {
            assert!(said.contains(text), "'{text}' is not said in:\n{said}");
        }
    }
}
