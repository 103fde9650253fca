//! Cutover's proxy: swapped by a control call. It writes no access log unless it is asked to.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use cutover_control::{
    Call, Epoch, HealthCheck, LineBuffer, Request, Response, ServiceKey, Switch, Target, decode_reply,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::site::Site;

/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn arguments(site: &Site) -> Vec<String> {
    let path = |name| site.path(name).display().to_string();
    let (http, control, state) = (site.http.to_string(), path("control.sock"), path("state"));
    let all = ["serve", "--http", &http, "--control", &control, "--state", &state, "--workers", "1"];
    all.map(str::to_owned).to_vec()
}

/// For the process that takes over from the first one.
pub(crate) fn second_arguments(site: &Site) -> Vec<String> {
    let mut arguments = arguments(site);
    arguments.push("--take-over".to_owned());
    arguments
}

/// The number of a claim, which is greater than all before it, and that of a deployment.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) epoch: u64,
    pub(crate) deployment: u64,
}

impl Claim {
    fn epoch(self) -> Epoch {
        Epoch { journal: "bench".to_owned(), sequence: self.epoch }
    }

    fn deployment(self) -> String {
        format!("deployment-{}", self.deployment)
    }
}

/// New requests go to these targets. They are watched as those of a real deployment are, which the other proxies don't do
/// here.
pub(crate) async fn switch(site: &Site, claim: Claim, targets: &[SocketAddr]) -> anyhow::Result<()> {
    let target = |address: &SocketAddr| Target {
        replica: format!("app-{}-{}", claim.deployment, address.port()),
        address: *address,
    };
    let targets = targets.iter().map(target).collect();
    let switch = Switch {
        health: Some(HealthCheck::new("/1k", 1000, 1000)),
        ..Switch::new(key(), claim.epoch(), &claim.deployment(), "release", targets)
    };
    match call(site, Request::Switch(Box::new(switch))).await? {
        Response::Switched { .. } => Ok(()),
        other => bail!("a switch was answered with {other:?}"),
    }
}

/// What the deployment has replaced can't come back, and is forgotten once nothing of it is in flight.
pub(crate) async fn retire(site: &Site, claim: Claim) -> anyhow::Result<()> {
    let request = Request::Retire { key: key(), epoch: claim.epoch(), deployment: claim.deployment() };
    match call(site, request).await? {
        Response::Retired { .. } => Ok(()),
        other => bail!("a retire was answered with {other:?}"),
    }
}

/// What the deployment has replaced serves again.
pub(crate) async fn restore(site: &Site, claim: Claim) -> anyhow::Result<()> {
    let request = Request::Restore { key: key(), epoch: claim.epoch(), deployment: claim.deployment() };
    match call(site, request).await? {
        Response::Restored { .. } => Ok(()),
        other => bail!("a restore was answered with {other:?}"),
    }
}

async fn call(site: &Site, request: Request) -> anyhow::Result<Response> {
    let line = Call::new(request).to_line()?;
    let answer = timeout(CALL_LIMIT, say(site, &line)).await.context("no answer to a control call")??;
    Ok(decode_reply(&answer)??)
}

async fn say(site: &Site, line: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut socket =
        UnixStream::connect(site.path("control.sock")).await.context("connecting to the proxy")?;
    socket.write_all(line).await?;
    let mut lines = LineBuffer::default();
    loop {
        if let Some(line) = lines.next_line()? {
            return Ok(line);
        }
        let mut piece = [0; 4096];
        match socket.read(&mut piece).await? {
            0 => bail!("the proxy closed the control connection without an answer"),
            length => lines.extend(piece.get(..length).unwrap_or_default()),
        }
    }
}

fn key() -> ServiceKey {
    ServiceKey::new("production", "app")
}
