//! A proxy that runs, in front of an application.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use tokio::time::{Instant, sleep};

use crate::cutover::Claim;
use crate::group::Group;
use crate::peer::{Peer, Upgrade};
use crate::site::Site;
use crate::{ask, caddy, cores, cutover, envoy, haproxy, nginx, traefik};

/// How long a program may take to serve, and a swap to be seen.
const READY_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(2);
/// How often it is looked whether a program that doesn't answer still runs: that costs more than to ask it.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) struct Running {
    peer: Peer,
    program: PathBuf,
    /// Ended before its folder goes.
    group: Group,
    site: Site,
    target: SocketAddr,
    /// How many swaps there were; Cutover's first switch is one.
    swaps: u64,
}

impl Running {
    /// Returns once it answers.
    pub(crate) async fn start(peer: Peer, program: &Path, target: SocketAddr) -> anyhow::Result<Self> {
        let site = Site::new()?;
        let group = start(peer, program, &site, target)?;
        let mut running = Self { peer, program: program.to_owned(), group, site, target, swaps: 0 };
        if peer == Peer::Cutover {
            running.swaps = 1;
            let (claim, targets) = (Claim { epoch: 1, deployment: 1 }, [target]);
            wait_for(&running.group, || cutover::switch(&running.site, claim, &targets)).await?;
        }
        running.serves(target).await?;
        Ok(running)
    }

    /// Where HTTP/1.1 is served.
    pub(crate) fn http(&self) -> SocketAddr {
        self.site.http
    }

    /// Where HTTP/2 without TLS is served, if it is.
    pub(crate) fn http2(&self) -> SocketAddr {
        if self.peer == Peer::Nginx { self.site.http2 } else { self.site.http }
    }

    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Another application serves from now on, by the proxy's own way of changing that; returns once it was seen to.
    pub(crate) async fn swap(&mut self, target: SocketAddr) -> anyhow::Result<()> {
        self.swaps += 1;
        let (site, number) = (&self.site, self.swaps);
        match self.peer {
            Peer::Cutover => {
                let claim = Claim { epoch: number, deployment: number };
                cutover::switch(site, claim, &[target]).await?;
            }
            Peer::Nginx => nginx::swap(site, target)?,
            Peer::Haproxy => haproxy::swap(site, number, target).await?,
            Peer::Envoy => envoy::swap(site, target)?,
            Peer::Caddy => caddy::swap(site, target).await?,
            Peer::Traefik => traefik::swap(site, target)?,
        }
        self.target = target;
        self.serves(target).await
    }

    /// Another process of the same program takes the place of the one that serves; returns once it was seen to be there
    /// and the proxy answers.
    pub(crate) async fn upgrade(&mut self, upgrade: Upgrade) -> anyhow::Result<()> {
        let before = self.group.members()?;
        match upgrade {
            Upgrade::TakeOver => self.succeed(&cutover::second_arguments(&self.site)).await?,
            Upgrade::SecondMaster => nginx::second_master(&self.site).await?,
            Upgrade::MasterReload => haproxy::reload(&self.group)?,
            Upgrade::HotRestart => self.succeed(&envoy::second_arguments(&self.site)?).await?,
            Upgrade::Restart => {
                kill(self.group.leader(), Signal::SIGTERM)?;
                self.group.ended().await?;
                self.group = start(self.peer, &self.program, &self.site, self.target)?;
            }
        }
        let begun = Instant::now();
        while self.group.members()?.iter().all(|pid| before.contains(pid)) {
            ensure!(begun.elapsed() < READY_LIMIT, "no new process has come");
            sleep(POLL).await;
        }
        self.serves(self.target).await
    }

    /// A second process takes over, and the first one ends by itself.
    async fn succeed(&mut self, arguments: &[String]) -> anyhow::Result<()> {
        let second = Group::start(cores::PROXY, &self.program, arguments, self.site.folder())?;
        std::mem::replace(&mut self.group, second).ended().await
    }

    /// Returns once it has ended, so that its end costs the next run nothing.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.group.kill().await
    }

    /// Waits until a new connection gets an answer of this application.
    async fn serves(&self, target: SocketAddr) -> anyhow::Result<()> {
        let version = target.port().to_string();
        let answered = || async {
            let answered = ask::version(self.site.http).await?;
            ensure!(answered.as_ref() == Some(&version), "{answered:?} answers instead of {version}");
            Ok(())
        };
        wait_for(&self.group, answered).await.with_context(|| format!("waiting for {}", self.peer))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        envoy::forget(&self.site);
    }
}

/// Tries again and again, for as long as the program runs and has time.
pub(crate) async fn wait_for<T, F>(group: &Group, attempt: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let begun = Instant::now();
    let mut looked = begun;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if begun.elapsed() > READY_LIMIT => bail!("not in time: {error:#}"),
            Err(_) if looked.elapsed() > LOOK => {
                group.check()?;
                looked = Instant::now();
            }
            Err(_) => {}
        }
        sleep(POLL).await;
    }
}

fn start(peer: Peer, program: &Path, site: &Site, target: SocketAddr) -> anyhow::Result<Group> {
    let (program, arguments) = match peer {
        Peer::Cutover => (program, cutover::arguments(site)),
        Peer::Nginx => (Path::new("/bin/sh"), nginx::arguments(program, site, target)?),
        Peer::Haproxy => (program, haproxy::arguments(site, target)?),
        Peer::Envoy => (program, envoy::arguments(site, target)?),
        Peer::Caddy => (program, caddy::arguments(site, target)?),
        Peer::Traefik => (program, traefik::arguments(site, target)?),
    };
    Group::start(cores::PROXY, program, &arguments, site.folder()).with_context(|| format!("starting {peer}"))
}
