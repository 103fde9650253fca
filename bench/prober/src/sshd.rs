//! The hosts' side: one real sshd, with a process for each connection, as many hosts have.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

use crate::place;

/// A running sshd. It is killed when this is dropped; what serves its connections ends with them.
pub(crate) struct Sshd {
    process: Child,
    pub(crate) port: u16,
    pub(crate) key: PathBuf,
    pub(crate) known_hosts: PathBuf,
}

impl Sshd {
    /// Starts it for so many hosts, with its files in a folder.
    pub(crate) fn start(folder: &Path, hosts: usize) -> anyhow::Result<Self> {
        let (own, key) = (folder.join("host_key"), folder.join("key"));
        for path in [&own, &key] {
            let mut command = Command::new("ssh-keygen");
            let made = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status()?;
            ensure!(made.success(), "ssh-keygen: {made}");
        }
        let authorized = folder.join("key.pub");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.join("sshd_config");
        // Bash reads no file of its user at that level: what this machine's root has there, no host has.
        let text = format!(
            "Port {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPermitRootLogin prohibit-password\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nPidFile none\nMaxStartups 1000\n\
             SetEnv SHLVL=2\n",
            own.display(),
            authorized.display(),
        );
        fs::write(&config, text)?;
        fs::create_dir_all("/run/sshd")?;
        let public = fs::read_to_string(own.with_extension("pub"))?;
        let public = public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let known: Vec<String> =
            (0..hosts).map(|number| format!("[{}]:{port} {public}\n", place::host(number))).collect();
        let known_hosts = folder.join("known_hosts");
        fs::write(&known_hosts, known.concat())?;
        let log = fs::File::create(folder.join("sshd.log"))?;
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stderr(log);
        Ok(Self { process: command.spawn().context("no sshd")?, port, key, known_hosts })
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
