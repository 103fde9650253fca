//! nginx: swapped by a new configuration and SIGHUP to the master, which is what `nginx -s reload` does.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{sleep, timeout};

use crate::site::Site;

/// Runs it and ends once it listens. A master takes no upgrade while the process lives that has started it, as it might
/// be a second master itself; and one that goes into the background by itself leaves its process group.
const ORPHAN: &str = r#""$@" & while [ ! -s nginx.pid ] && kill -0 $!; do sleep 0.02; done"#;

const POLL: Duration = Duration::from_millis(5);
/// How long a second master may take to be there.
const MASTER_LIMIT: Duration = Duration::from_secs(10);

/// For `sh`, in the site's folder.
pub(crate) fn arguments(program: &Path, site: &Site, target: SocketAddr) -> anyhow::Result<Vec<String>> {
    site.configure("nginx.conf", "nginx.conf", target)?;
    let shell = ["-c".to_owned(), ORPHAN.to_owned(), "sh".to_owned(), program.display().to_string()];
    Ok(shell.into_iter().chain(own_arguments(site)).collect())
}

/// For nginx itself, to run with the configuration that is there.
pub(crate) fn own_arguments(site: &Site) -> Vec<String> {
    let path = |name| site.path(name).display().to_string();
    // Before it has read its configuration it would write to a log of the system.
    vec!["-e".to_owned(), path("error.log"), "-c".to_owned(), path("nginx.conf")]
}

pub(crate) fn swap(site: &Site, target: SocketAddr) -> anyhow::Result<()> {
    site.configure("nginx.conf", "nginx.conf", target)?;
    kill(master(site)?, Signal::SIGHUP).context("signalling nginx")
}

/// The first master ends once the second one serves.
pub(crate) async fn second_master(site: &Site) -> anyhow::Result<()> {
    let first = master(site)?;
    kill(first, Signal::SIGUSR2).context("signalling nginx")?;
    let second_is_there = async {
        while !matches!(master(site), Ok(pid) if pid != first) {
            sleep(POLL).await;
        }
    };
    timeout(MASTER_LIMIT, second_is_there).await.context("nginx has started no second master")?;
    kill(first, Signal::SIGQUIT).context("signalling nginx")
}

/// By the file that a master writes once it listens.
fn master(site: &Site) -> anyhow::Result<Pid> {
    let text = fs::read_to_string(site.path("nginx.pid")).context("nginx has written no process id")?;
    Ok(Pid::from_raw(text.trim().parse()?))
}
