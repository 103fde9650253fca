//! Real servers of a test's own: each ends with it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cutover_bus::{Bus, Copies, Journal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::eventually;

/// A process that ends with the test, by its own pid.
struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Self {
        let program = command.get_program().to_owned();
        let (out, errors) = (File::create(log).unwrap(), File::options().append(true).open(log).unwrap());
        let started = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn();
        Self(started.unwrap_or_else(|error| panic!("{}: {error}: run scripts/install.sh", program.display())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A nats-server with a journal.
pub(crate) struct Nats {
    port: u16,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Nats {
    pub(crate) async fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let binary = std::env::var_os("CUTOVER_NATS_SERVER")
            .map_or_else(|| PathBuf::from("/usr/local/lib/cutover/nats-server"), PathBuf::from);
        let mut command = Command::new(binary);
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"]);
        let process = Process::start(command.arg(folder.path().join("store")), &folder.path().join("log"));
        let nats = Self { port, _process: process, _folder: folder };
        let bus = eventually(async || Bus::connect(&nats.url(), "test").await.ok()).await;
        bus.set_up(Copies::One).await.unwrap();
        nats
    }

    /// The journal, on a connection of its own.
    pub(crate) async fn journal(&self) -> Journal {
        Bus::connect(&self.url(), "test").await.unwrap().open().await.unwrap()
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// Pebble, the ACME server that Let's Encrypt tests clients with, and the name server that it asks.
pub(crate) struct Pebble {
    /// The port of hosts that it asks over HTTP.
    pub(crate) http: u16,
    /// And in a TLS handshake.
    pub(crate) https: u16,
    port: u16,
    names: u16,
    folder: tempfile::TempDir,
    _processes: [Process; 2],
}

impl Pebble {
    /// Starts one whose certificates are valid for so many seconds.
    pub(crate) async fn start(validity: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port, http, https, dns, names] = std::array::from_fn(|_| free_port());
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("root.pem"), own.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), own.signing_key.serialize_pem()).unwrap();
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{port}", "certificate": "{}", "privateKey": "{}",
            "httpPort": {http}, "tlsPort": {https}, "certificateValidityPeriod": {validity}}}}}"#,
            path("root.pem").display(),
            path("key.pem").display()
        );
        std::fs::write(path("config.json"), config).unwrap();
        let mut server = Command::new("pebble");
        server.args(["-dnsserver", &format!("127.0.0.1:{dns}"), "-config"]).arg(path("config.json"));
        // It asks at once, and always: an order that needs no proof would prove nothing.
        server.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")]);
        let mut resolver = Command::new("pebble-challtestsrv");
        resolver.args([
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv4",
            "",
            "-defaultIPv6",
            "",
        ]);
        resolver.args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{names}")]);
        let processes = [
            Process::start(&mut server, &path("pebble.log")),
            Process::start(&mut resolver, &path("names.log")),
        ];
        for port in [port, names] {
            eventually(async || TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        }
        Self { http, https, port, names, folder, _processes: processes }
    }

    /// The URL of its directory.
    pub(crate) fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// What it is known by.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Makes a name lead to these addresses.
    pub(crate) async fn resolve(&self, name: &str, addresses: &[&str]) {
        for (path, body) in [
            ("clear-a", format!(r#"{{"host": "{name}."}}"#)),
            ("add-a", format!(r#"{{"host": "{name}.", "addresses": {addresses:?}}}"#)),
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", self.names)).await.unwrap();
            let length = body.len();
            let request = format!("POST /{path} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        }
    }

    /// How many orders and how many accounts there were.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let log = std::fs::read_to_string(self.folder.path().join("pebble.log")).unwrap();
        let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        (count("orders in the db"), count("accounts in memory"))
    }
}

/// A port that nobody listens on, outside the range that the kernel gives to outgoing connections, on any loopback address.
fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(12_000..32_000);
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
