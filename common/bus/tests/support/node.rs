//! One real nats-server: its process, its ports, its files.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cutover_bus::{Access, Bus, Key};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A nats-server on the loopback, set as the embedded default is, or as one of a cluster. It can be killed, held and
/// started again from its files; they go with it.
pub(crate) struct Node {
    child: Child,
    name: String,
    port: u16,
    routes: Option<Routes>,
    /// The part of its configuration that says who may do what.
    accounts: String,
    /// Who asks it whether it answers.
    key: Option<Arc<Key>>,
    folder: tempfile::TempDir,
}

/// How a node finds the others of its cluster.
#[derive(Clone)]
pub(crate) struct Routes {
    /// Its own port for them.
    pub(crate) port: u16,
    /// The ports of all.
    pub(crate) all: Vec<u16>,
}

impl Node {
    /// Starts one; it may not answer yet.
    pub(crate) fn start(name: &str, routes: Option<Routes>) -> Self {
        Self::guarded(name, routes, String::new(), None)
    }

    /// Starts one that tells users apart.
    pub(crate) fn guarded(
        name: &str,
        routes: Option<Routes>,
        accounts: String,
        key: Option<Arc<Key>>,
    ) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let child = spawn(name, port, routes.as_ref(), &accounts, &folder);
        Self { child, name: name.to_owned(), port, routes, accounts, key, folder }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The accounts, streams and consumers that it has on its disk, as paths.
    pub(crate) fn kept(&self) -> BTreeSet<String> {
        let root = self.folder.path().join("store/jetstream");
        let mut kept = BTreeSet::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let path = folder.strip_prefix(&root).unwrap();
            // account/streams/stream/obs/consumer
            if path.components().count() < 5 && !path.ends_with("msgs") {
                // One that is removed meanwhile has nothing.
                let inside = folder.read_dir().into_iter().flatten().filter_map(Result::ok);
                folders.extend(inside.map(|entry| entry.path()).filter(|path| path.is_dir()));
            }
            kept.insert(path.display().to_string());
        }
        kept
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until it answers.
    pub(crate) async fn answers(&self) -> Bus {
        for _ in 0..400 {
            let access = Access { key: self.key.clone(), ..Access::open(&self.url()) };
            if let Ok(bus) = Bus::enter(&access, "test").await {
                return bus;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} did not answer within 20 s", self.name);
    }

    /// SIGKILL: nothing is said, nothing is flushed.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again from its files, after it was killed.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.name, self.port, self.routes.as_ref(), &self.accounts, &self.folder);
    }

    /// The same with another configuration of who may do what.
    pub(crate) fn start_again_with(&mut self, accounts: String) {
        self.accounts = accounts;
        self.start_again();
    }

    /// Starts it again without its files, after it was killed.
    pub(crate) fn start_anew(&mut self) {
        self.folder = tempfile::tempdir().unwrap();
        self.start_again();
    }

    /// Lets other users in from now on, and those that are connected and are none of them no more.
    pub(crate) fn lets_in(&mut self, accounts: String, key: Arc<Key>) {
        (self.accounts, self.key) = (accounts, Some(key));
        configure(&self.name, self.port, self.routes.as_ref(), &self.accounts, &self.folder);
        self.signal(Signal::SIGHUP);
    }

    /// SIGSTOP: connections stay open, nothing is answered.
    pub(crate) fn hold(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    name: &str,
    port: u16,
    routes: Option<&Routes>,
    accounts: &str,
    folder: &tempfile::TempDir,
) -> Child {
    let binary = std::env::var_os("CUTOVER_NATS_SERVER")
        .map_or_else(|| PathBuf::from("/usr/local/lib/cutover/nats-server"), PathBuf::from);
    assert!(
        binary.exists(),
        "no nats-server at {}: run scripts/install.sh, or set CUTOVER_NATS_SERVER",
        binary.display()
    );
    let file = configure(name, port, routes, accounts, folder);
    let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
    Command::new(binary).arg("--config").arg(file).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn configure(
    name: &str,
    port: u16,
    routes: Option<&Routes>,
    accounts: &str,
    folder: &tempfile::TempDir,
) -> PathBuf {
    let store = folder.path().join("store");
    let mut config = format!(
        "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\n\
         jetstream {{ store_dir: \"{}\", sync_interval: always }}\n",
        store.display()
    );
    if let Some(routes) = routes {
        let others = routes.all.iter().filter(|other| **other != routes.port);
        let others: Vec<_> = others.map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        config += &format!(
            "cluster {{ name: test, listen: \"127.0.0.1:{}\", routes: [{}] }}\n",
            routes.port,
            others.join(", ")
        );
    }
    config += accounts;
    let file = folder.path().join("nats.conf");
    std::fs::write(&file, config).unwrap();
    file
}

/// A port that nobody listens on, outside the range that the kernel gives to outgoing connections: it must still be free
/// when a killed node comes back to it.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(12_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
