//! A real sshd on a loopback port, with keys of its own, for one test.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use cutover_host::{Host, HostAddress, Hosts, SshOptions};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// An sshd that lives as long as this value: one process per connection, as inetd starts it, so that no port is chosen
/// twice and nothing is left behind.
pub(crate) struct Sshd {
    folder: TempDir,
    port: u16,
    connections: Arc<Mutex<Vec<std::net::TcpStream>>>,
}

impl Sshd {
    /// Starts an sshd with these lines in front of its configuration.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The folder that sshd locks itself into; distributions make it when the service starts.
        std::fs::create_dir_all("/run/sshd").unwrap();
        for (name, kind) in [("host_ed25519", "ed25519"), ("host_ecdsa", "ecdsa"), ("user", "ed25519")] {
            keygen(&folder.path().join(name), kind, "");
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut config: Vec<String> = settings.iter().map(|line| (*line).to_owned()).collect();
        config.push(format!("HostKey {}", path("host_ed25519")));
        config.push(format!("HostKey {}", path("host_ecdsa")));
        config.push(format!("AuthorizedKeysFile {}", path("user.pub")));
        config.extend(
            ["StrictModes no", "UsePAM no", "PermitRootLogin yes", "PidFile none"].map(str::to_owned),
        );
        std::fs::write(path("config"), config.join("\n") + "\n").unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (accepted, config, log) = (Arc::clone(&connections), path("config"), path("log"));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let socket = socket.into_std().unwrap();
                socket.set_nonblocking(false).unwrap();
                accepted.lock().unwrap().push(socket.try_clone().unwrap());
                let mut child = tokio::process::Command::new("/usr/sbin/sshd")
                    .args(["-i", "-f", &config, "-E", &log])
                    .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
                    .stdout(Stdio::from(OwnedFd::from(socket)))
                    .stderr(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .unwrap();
                tokio::spawn(async move { child.wait().await });
            }
        });
        let sshd = Self { folder, port, connections };
        sshd.know("host_ed25519");
        sshd
    }

    /// Records the host key of this name, and no other, in `known_hosts`.
    pub(crate) fn know(&self, key: &str) {
        let key = std::fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap();
        std::fs::write(self.path("known_hosts"), format!("[127.0.0.1]:{} {key}", self.port)).unwrap();
    }

    /// Has the authority `authority` certify the host's first key, as `ssh-keygen` does with `options`, and sshd show it.
    pub(crate) fn certify(&self, authority: &str, options: &[&str]) {
        let sign = Command::new("ssh-keygen")
            .args(["-q", "-I", "web", "-s"])
            .arg(self.path(authority))
            .args(options)
            .arg(self.path("host_ed25519.pub"))
            .status()
            .unwrap();
        assert!(sign.success());
        let config = std::fs::read_to_string(self.path("config")).unwrap();
        if !config.contains("HostCertificate") {
            let line = format!("HostCertificate {}\n", self.path("host_ed25519-cert.pub").display());
            std::fs::write(self.path("config"), config + &line).unwrap();
        }
    }

    /// Records lines in `known_hosts`, and nothing else: what each begins with, and the name of its key.
    pub(crate) fn record(&self, lines: &[(&str, &str)]) {
        let line = |(begin, key): &(&str, &str)| {
            let key = std::fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap();
            format!("{begin} {key}")
        };
        std::fs::write(self.path("known_hosts"), lines.iter().map(line).collect::<String>()).unwrap();
    }

    /// A file in the folder of this sshd.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn address(&self) -> HostAddress {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        HostAddress::new(String::from_utf8(user).unwrap().trim(), "127.0.0.1", self.port)
    }

    /// Options with which a connection succeeds.
    pub(crate) fn options(&self) -> SshOptions {
        SshOptions { identities: vec![self.path("user")], ..SshOptions::new(self.path("known_hosts")) }
    }

    pub(crate) fn host(&self) -> Arc<Host> {
        self.host_with(self.options())
    }

    pub(crate) fn host_with(&self, options: SshOptions) -> Arc<Host> {
        Hosts::new(options, "/var/run/docker.sock").get(&self.address())
    }

    /// The connections that were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// Cuts every connection, as a crash of the host or its network does.
    pub(crate) fn cut(&self) {
        for connection in self.connections.lock().unwrap().iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// Makes a key pair at `path` and `path`.pub.
pub(crate) fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}
