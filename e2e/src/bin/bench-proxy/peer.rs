//! What is compared.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use cutover_e2e::dist;
use tokio::process::Command;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Peer {
    /// Always part of it, so nobody asks for it.
    #[value(skip)]
    Cutover,
    Nginx,
    Haproxy,
    Envoy,
    Caddy,
    Traefik,
}

impl Peer {
    pub(crate) const OTHERS: [Self; 5] =
        [Self::Nginx, Self::Haproxy, Self::Envoy, Self::Caddy, Self::Traefik];

    fn name(self) -> &'static str {
        match self {
            Self::Cutover => "Cutover",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Caddy => "Caddy",
            Self::Traefik => "Traefik",
        }
    }

    /// Debian's, or what scripts/bench-proxy.sh has laid out.
    pub(crate) fn program(self, lab: &Path) -> PathBuf {
        let peers = lab.join("peers");
        match self {
            Self::Cutover => dist().join("cutover-proxy"),
            Self::Nginx => "/usr/sbin/nginx".into(),
            Self::Haproxy => "/usr/sbin/haproxy".into(),
            Self::Envoy => peers.join("envoy/_bin/envoy"),
            Self::Caddy => peers.join("bin/caddy"),
            Self::Traefik => peers.join("bin/traefik"),
        }
    }

    /// What it calls itself: a number with two dots, wherever it stands in what it says.
    pub(crate) async fn version(self, lab: &Path) -> anyhow::Result<String> {
        let program = self.program(lab);
        ensure!(program.exists(), "{} is not there: run scripts/bench-proxy.sh install", program.display());
        let question = match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Cutover | Self::Envoy => "--version",
            Self::Caddy | Self::Traefik => "version",
        };
        let mut command = Command::new(&program);
        command.arg(question).stdin(Stdio::null()).kill_on_drop(true);
        let said = command.output().await.with_context(|| format!("starting {}", program.display()))?;
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let words = text.split(|letter: char| !(letter.is_ascii_digit() || letter == '.'));
        let version = words.map(|word| word.trim_matches('.')).find(|word| word.matches('.').count() == 2);
        Ok(version.with_context(|| format!("{} tells no version: {text}", program.display()))?.to_owned())
    }

    /// How it is replaced by another process of itself while it serves.
    pub(crate) fn upgrade(self) -> Upgrade {
        match self {
            Self::Cutover => Upgrade::TakeOver,
            Self::Nginx => Upgrade::SecondMaster,
            Self::Haproxy => Upgrade::MasterReload,
            Self::Envoy => Upgrade::HotRestart,
            Self::Caddy | Self::Traefik => Upgrade::Restart,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Upgrade {
    /// Cutover: a second process takes the listening sockets over the control socket; the first one ends by itself. That
    /// is what `cutover proxy upgrade` does, with containers.
    TakeOver,
    /// nginx: USR2 starts a second master, which inherits the listening sockets; QUIT ends the first one.
    SecondMaster,
    /// HAProxy: USR2 makes the master run its program anew, with new workers that get the listening sockets.
    MasterReload,
    /// Envoy: a second process takes the listening sockets over a unix socket, and ends the first one.
    HotRestart,
    /// The others: the service manager's way. It is asked to end, and started again once it has.
    Restart,
}

impl fmt::Display for Upgrade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::TakeOver => "take-over",
            Self::SecondMaster => "USR2, QUIT",
            Self::MasterReload => "USR2 to the master",
            Self::HotRestart => "hot restart",
            Self::Restart => "restart",
        })
    }
}
