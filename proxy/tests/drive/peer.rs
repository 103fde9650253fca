use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use cutover_proxy::{DriveOptions, Driven, NginxOptions, TraefikOptions};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::caller::LIMIT;
use crate::client::raw;

/// Where `scripts/install.sh` puts it.
const TRAEFIK: &str = "/usr/local/lib/cutover/traefik";

/// Which other proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    /// As it is by default: it collects changes for 2 s.
    Traefik,
    /// It collects them for a tenth of a second.
    QuickTraefik,
}

/// An nginx or a Traefik that serves nothing yet, as an operator has it; ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// How it is driven.
    pub(crate) driven: Driven,
    process: Child,
}

impl Peer {
    pub(crate) async fn start(kind: Kind, folder: &Path) -> Self {
        let (address, local) = (free_port(), free_port());
        let drive = DriveOptions {
            control: folder.join("control.sock"),
            control_gid: None,
            state: folder.join("state"),
            conf_dir: folder.join("conf"),
        };
        fs::create_dir(&drive.conf_dir).unwrap();
        let (process, driven) = match kind {
            Kind::Nginx => (nginx(folder), nginx_driven(folder, drive, address, local)),
            Kind::Traefik | Kind::QuickTraefik => {
                (traefik(kind, folder, address, local), traefik_driven(drive, local))
            }
        };
        let peer = Self { kind, address, driven, process };
        peer.ready().await;
        peer
    }

    /// Starts it again with the configuration that is there.
    pub(crate) async fn start_again(&mut self, folder: &Path) {
        self.process = match &self.driven {
            Driven::Nginx(_) => nginx(folder),
            Driven::Traefik(options) => traefik(self.kind, folder, self.address, options.api),
        };
        self.ready().await;
    }

    async fn ready(&self) {
        let started = async {
            while !self.is_ready().await {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, started).await.expect("it did not start");
    }

    async fn is_ready(&self) -> bool {
        match &self.driven {
            // It writes the file before it takes the title that a master is known by.
            Driven::Nginx(options) => fs::read_to_string(&options.pid_file).is_ok_and(|pid| {
                fs::read(format!("/proc/{}/cmdline", pid.trim()))
                    .is_ok_and(|title| title.starts_with(b"nginx: master process"))
            }),
            // Its API answers 404 before it is there.
            Driven::Traefik(options) => {
                TcpStream::connect(options.api).await.is_ok()
                    && raw(options.api, "GET /api/overview HTTP/1.0\r\n\r\n", None).await.contains(" 200 ")
            }
        }
    }

    pub(crate) fn drive(&self) -> &DriveOptions {
        match &self.driven {
            Driven::Nginx(options) => &options.drive,
            Driven::Traefik(options) => &options.drive,
        }
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn end(&mut self) {
        self.terminate();
        timeout(LIMIT, self.process.wait()).await.unwrap().unwrap();
    }

    fn terminate(&self) {
        let pid = self.process.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).ok();
        }
    }
}

impl Drop for Peer {
    /// Not killed: nginx's workers would outlive their master.
    fn drop(&mut self) {
        self.terminate();
    }
}

fn nginx(folder: &Path) -> Child {
    let root = folder.display();
    let config = format!(
        "user root;\nworker_processes 2;\npid {root}/nginx.pid;\nerror_log {root}/error.log notice;\nevents {{}}\n\
         http {{\n  access_log off;\n  client_body_temp_path {root}/body;\n  proxy_temp_path {root}/proxy;\n  \
         include {root}/conf/*.conf;\n}}\n"
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
    let words = nginx_command(folder);
    Command::new(&words[0])
        .args(&words[1..])
        .args(["-g", "daemon off;"])
        .stdin(Stdio::null())
        .spawn()
        .expect("is nginx installed? scripts/install.sh does it")
}

fn nginx_command(folder: &Path) -> Vec<String> {
    let root = folder.display();
    let words = format!("nginx -p {root} -c {root}/nginx.conf -e {root}/error.log");
    words.split(' ').map(str::to_owned).collect()
}

fn nginx_driven(folder: &Path, drive: DriveOptions, address: SocketAddr, local: SocketAddr) -> Driven {
    Driven::Nginx(NginxOptions {
        drive,
        pid_file: folder.join("nginx.pid"),
        listen: vec![address.to_string()],
        local,
        test: format!("{} -t -q", nginx_command(folder).join(" ")),
    })
}

fn traefik(kind: Kind, folder: &Path, address: SocketAddr, local: SocketAddr) -> Child {
    let root = folder.display();
    let collects = if kind == Kind::QuickTraefik { "100ms" } else { "2s" };
    let config = format!(
        "global: {{checkNewVersion: false, sendAnonymousUsage: false}}\nlog: {{level: ERROR}}\napi: {{insecure: true}}\n\
         entryPoints:\n  web: {{address: \"{address}\"}}\n  traefik: {{address: \"{local}\"}}\n\
         metrics: {{prometheus: {{}}}}\nproviders: {{providersThrottleDuration: {collects}, file: {{directory: \"{root}/conf\", watch: true}}}}\n"
    );
    let path = folder.join("traefik.yaml");
    fs::write(&path, config).unwrap();
    let command = Command::new(TRAEFIK)
        .arg("--configFile")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    command.expect("is Traefik installed? scripts/install.sh does it")
}

fn traefik_driven(drive: DriveOptions, local: SocketAddr) -> Driven {
    Driven::Traefik(TraefikOptions { drive, api: local, metrics: None, entry_points: vec!["web".to_owned()] })
}

/// A port that nobody has, and that nobody gets until the other proxy takes it: each is drawn once in this process, and the
/// kernel gives none of these to who asks for any.
fn free_port() -> SocketAddr {
    static DRAWN: AtomicU16 = AtomicU16::new(0);
    // Another run beside this one begins elsewhere.
    let start = u16::try_from(std::process::id() % 50).unwrap() * 200;
    loop {
        let drawn = DRAWN.fetch_add(1, Relaxed);
        assert!(drawn < 10_000, "no port is free");
        let address = SocketAddr::from(([127, 0, 0, 1], 20_000 + (start + drawn) % 10_000));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
