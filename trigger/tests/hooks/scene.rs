//! A real nats-server that tells its users apart, and hooks in front of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cutover_bus::{Access, Bus, Copies, Key};
use cutover_core::{BusUser, Request, accounts};
use cutover_telemetry::Metrics;
use cutover_trigger::{Desk, Hooks, Server, Triggers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The secret that each source of the tests has.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct Scene {
    folder: tempfile::TempDir,
    keys: BTreeMap<BusUser, Arc<Key>>,
    port: u16,
    nats: Option<Child>,
    address: SocketAddr,
    stop: CancellationToken,
    served: Option<JoinHandle<()>>,
}

/// An answer: its status, its head and its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Scene {
    /// Hooks with the sources of a file, whose secrets are called SECRET, and a bus that has a journal.
    pub(crate) async fn start(sources: &str) -> Self {
        let mut scene = Self::without_bus(sources, SECRET).await;
        scene.bus_comes().await;
        scene.until_open().await;
        scene
    }

    /// The same without a bus.
    pub(crate) async fn without_bus(sources: &str, secret: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys: BTreeMap<_, _> = BusUser::ALL.map(|user| (user, Arc::new(Key::new(user)))).into();
        let file = folder.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        let text = sources.replace("SECRET", &format!("file://{}", file.display()));
        let Triggers { sources, limits } = Triggers::parse(&text, "triggers.yaml").unwrap();
        let hooks = Hooks::open(sources, &Metrics::new().unwrap()).await.unwrap();
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
        let (address, stop, port) = (server.address().unwrap(), CancellationToken::new(), free_port());
        let access = Access {
            key: Some(Arc::clone(&keys[&BusUser::Trigger])),
            ..Access::open(&format!("nats://127.0.0.1:{port}"))
        };
        let desk = Desk::open(access, "cutover-trigger", &stop);
        let served = Some(tokio::spawn(server.serve(hooks, desk, stop.clone())));
        Self { folder, keys, port, nats: None, address, stop, served }
    }

    /// Starts the bus, from what it had before, and sets the journal up.
    pub(crate) async fn bus_comes(&mut self) {
        let public = self.keys.iter().map(|(user, key)| (*user, key.public())).collect();
        let config = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n{}",
            self.port,
            self.folder.path().join("store").display(),
            accounts(&public)
        );
        let file = self.folder.path().join("nats.conf");
        std::fs::write(&file, config).unwrap();
        let binary = std::env::var_os("CUTOVER_NATS_SERVER")
            .map_or_else(|| PathBuf::from("/usr/local/lib/cutover/nats-server"), PathBuf::from);
        assert!(binary.exists(), "no nats-server at {}: run scripts/install.sh", binary.display());
        let child = Command::new(binary).arg("--config").arg(file).stderr(Stdio::null()).spawn().unwrap();
        self.nats = Some(child);
        let bus = self.operator().await;
        bus.set_up(Copies::One).await.unwrap();
        bus.take_signatures_of(&public).await.unwrap();
    }

    /// Kills the bus.
    pub(crate) fn bus_goes(&mut self) {
        let mut nats = self.nats.take().unwrap();
        nats.kill().unwrap();
        nats.wait().unwrap();
    }

    /// Waits until the hooks say that requests are stored.
    pub(crate) async fn until_open(&self) {
        let open = async || (self.send("GET", "/healthz", &[], b"").await.status == 200).then_some(());
        eventually(open).await;
    }

    async fn operator(&self) -> Bus {
        let access = Access {
            key: Some(Arc::clone(&self.keys[&BusUser::Operator])),
            ..Access::open(&format!("nats://127.0.0.1:{}", self.port))
        };
        eventually(async || Bus::enter(&access, "test").await.ok()).await
    }

    /// All that is asked for, as it lies in the stream.
    pub(crate) async fn requests(&self) -> Vec<Request> {
        let seed = self.keys[&BusUser::Operator].to_text().trim().split_once(' ').unwrap().1.to_owned();
        let options = async_nats::ConnectOptions::with_nkey(seed).custom_inbox_prefix("_INBOX_operator");
        let client = options.connect(format!("127.0.0.1:{}", self.port)).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        let stream = jetstream.get_stream("cutover-trigger").await.unwrap();
        let mut requests = Vec::new();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let request: Request = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(message.subject.as_str(), request.subject());
            requests.push(request);
        }
        requests
    }

    /// Delivers to a source.
    pub(crate) async fn post(&self, source: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send("POST", &format!("/hooks/{source}"), headers, body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        let answer = self.say(&[text.as_bytes(), b"\r\n", body].concat()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// Says something, and hears what comes until the connection ends.
    pub(crate) async fn say(&self, text: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // Whoever is refused before all is sent may be told so by a closed connection.
        let _ = stream.write_all(text).await;
        let mut answer = Vec::new();
        let heard = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer));
        let _ = heard.await.expect("no answer within a minute");
        String::from_utf8(answer).unwrap()
    }

    /// Tells the hooks to stop, and waits until they have.
    pub(crate) async fn stops(&mut self) {
        self.stop.cancel();
        let served = self.served.take().unwrap();
        tokio::time::timeout(Duration::from_secs(60), served).await.expect("it serves on").unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(mut nats) = self.nats.take() {
            let _ = nats.kill();
            let _ = nats.wait();
        }
    }
}

/// Asks again and again until something is there.
async fn eventually<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("not there within a minute")
}

/// Outside of the range that the kernel gives to outgoing connections: it must still be free when the server comes back.
fn free_port() -> u16 {
    let mut ports = (std::process::id() as u16 % 9000 + 12_000..32_000).step_by(7);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    static TAKEN: std::sync::Mutex<Vec<u16>> = std::sync::Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap();
    let port = ports.find(|port| !taken.contains(port) && is_free(port)).unwrap();
    taken.push(port);
    port
}
