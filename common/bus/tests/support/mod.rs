//! A real nats-server of a test's own, and a release to deploy through it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cutover_bus::{Bus, Journal};
use cutover_core::{
    Container, HostSpec, Intent, PROTOCOL, Plan, Readiness, Release, Resources, Routing, ServiceKey,
    Settings, Soak, Source, Span, Timeouts,
};

/// A nats-server on a free port of the loopback, with its files in a folder that goes with it.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> Self {
        let binary = std::env::var_os("CUTOVER_NATS_SERVER")
            .map_or_else(|| PathBuf::from("/usr/local/lib/cutover/nats-server"), PathBuf::from);
        assert!(
            binary.exists(),
            "no nats-server at {}: run scripts/install.sh, or set CUTOVER_NATS_SERVER",
            binary.display()
        );
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(binary)
            .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port, _folder: folder };
        for _ in 0..200 {
            if Bus::connect(&server.url(), "test").await.is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nats-server did not answer within 10 s");
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The journal, set up.
    pub(crate) async fn journal(&self) -> Journal {
        let bus = Bus::connect(&self.url(), "test").await.unwrap();
        bus.set_up().await.unwrap();
        bus.open().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn key() -> ServiceKey {
    ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() }
}

/// A plan whose deployment id ends in `n`.
pub(crate) fn plan(n: u32, hosts: &[&str]) -> Box<Plan> {
    let release = Release {
        version: format!("v{n}"),
        source: Source::Image("hello".into()),
        settings: settings(),
        migrations: vec![],
    };
    Box::new(Plan {
        protocol: PROTOCOL,
        deployment: format!("{n:0>26}").parse().unwrap(),
        key: key(),
        by: format!("tester{n}@here"),
        intent: Intent::Deploy,
        stages: Plan::stages_for(&release, None),
        release,
        image: None,
        replaces: None,
        hosts: hosts
            .iter()
            .map(|name| HostSpec { name: name.parse().unwrap(), port: 22, user: "root".into() })
            .collect(),
    })
}

fn settings() -> Settings {
    Settings {
        port: 80,
        replicas: 1,
        command: vec![],
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: Resources::default(),
        container: Container::default(),
        readiness: Readiness {
            path: "/up".into(),
            initial_delay: Span::seconds(0),
            period: Span::seconds(1),
            timeout: Span::seconds(1),
            successes: 1,
        },
        proxy: Routing { hosts: vec![], response_timeout: Span::seconds(30) },
        soak: Soak { time: Span::seconds(1), max_errors_per_mille: 50, min_requests: 20 },
        timeouts: Timeouts::default(),
        database: None,
        retain: 5,
    }
}
