//! HAProxy: swapped by its runtime API. Of two servers the idle one gets the new address and goes in, the other one out.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::group::Group;
use crate::site::Site;

const COMMAND_LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn arguments(site: &Site, target: SocketAddr) -> anyhow::Result<Vec<String>> {
    site.configure("haproxy.cfg", "haproxy.cfg", target)?;
    let configuration = site.path("haproxy.cfg").display().to_string();
    Ok(vec!["-W".to_owned(), "-f".to_owned(), configuration])
}

/// `number` counts swaps: the first one is from the first server to the second one.
pub(crate) async fn swap(site: &Site, number: u64, target: SocketAddr) -> anyhow::Result<()> {
    let (next, last) = if number % 2 == 1 { ("second", "first") } else { ("first", "second") };
    let (address, port) = (target.ip(), target.port());
    // One line for each: a line is answered as a whole.
    say(site, &format!("set server app/{next} addr {address} port {port}")).await?;
    for (server, state) in [(next, "ready"), (last, "maint")] {
        let answer = say(site, &format!("set server app/{server} state {state}")).await?;
        ensure!(answer.trim().is_empty(), "HAProxy: {answer}");
    }
    Ok(())
}

/// The master runs its program anew.
pub(crate) fn reload(group: &Group) -> anyhow::Result<()> {
    kill(group.leader(), Signal::SIGUSR2).context("signalling HAProxy")
}

/// A command, and what is answered until the end of the connection.
async fn say(site: &Site, command: &str) -> anyhow::Result<String> {
    let asking = async {
        let mut socket = UnixStream::connect(site.path("admin.sock")).await?;
        socket.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    timeout(COMMAND_LIMIT, asking).await.context("HAProxy does not answer")?
}
