//! What stands in for an sshd that forwards nothing: a container of the proxy's image, for as long as the connection lasts.

use std::time::Duration;

use cutover_bridge::Bridge;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::ssh::Ssh;
use crate::{Error, HELPER};

/// Runs it. It has the host's network, and of its files the sockets of Cutover's programs; it is gone when its standard input
/// ends. While the proxy is upgraded, its container has another name for a moment.
const RUN: &str = r#"
image=$(docker container inspect --format '{{.Image}}' "$1" || docker container inspect --format '{{.Image}}' "$1-replaced") || exit
exec docker run --rm --interactive --network host --user 0:0 --cap-drop ALL --security-opt no-new-privileges --read-only \
  --log-driver none --label cutover.bridge= --volume /run/cutover:/run/cutover "$image" bridge
"#;

/// The exit code of a shell that finds no such command.
const NO_COMMAND: u32 = 127;

/// How long it may take until its first answer, beside what is asked for.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// The bridge to the helper of a host, and a new one when that is gone.
#[derive(Default)]
pub(crate) struct Helper {
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    bridge: Option<Bridge>,
    /// Which one it is: one more with each.
    number: u64,
}

impl Helper {
    /// Has the helper do what sshd refuses, within `limit` once it runs. `target` is what it is to connect to.
    pub(crate) async fn ask<T, F: Future<Output = Result<T, cutover_bridge::Error>>>(
        &self,
        ssh: &Ssh,
        (doing, target): (&str, &str),
        limit: Duration,
        ask: impl Fn(Bridge) -> F,
    ) -> Result<T, Error> {
        let host = || ssh.address().to_string();
        let late = |_| Error::Timeout { host: host(), doing: doing.into(), limit };
        let mut again = true;
        loop {
            let (bridge, number) = self.bridge(ssh, doing).await?;
            match timeout(limit, ask(bridge)).await.map_err(late)? {
                Ok(done) => return Ok(done),
                Err(cutover_bridge::Error::NotListening(_)) => {
                    return Err(Error::NotListening { host: host(), target: target.into() });
                }
                // That it is gone is noticed now only.
                Err(cutover_bridge::Error::Closed | cutover_bridge::Error::Broken(_)) if again => {
                    self.drop_bridge(number).await;
                    again = false;
                }
                Err(source) => return Err(Error::Helper { host: host(), doing: doing.into(), source }),
            }
        }
    }

    /// A bridge whose far end has answered, and its number. One caller makes it, and the others wait for it.
    async fn bridge(&self, ssh: &Ssh, doing: &str) -> Result<(Bridge, u64), Error> {
        let mut current = self.current.lock().await;
        if let Some(bridge) = current.bridge.as_ref().filter(|bridge| !bridge.is_closed()) {
            return Ok((bridge.clone(), current.number));
        }
        current.bridge = None;
        let bridge = Bridge::over(ssh.pipe(&["sh", "-c", RUN, "sh", HELPER]).await?);
        let (host, limit) = (ssh.address().to_string(), STARTS_WITHIN);
        match timeout(limit, bridge.ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(source)) if is_installed(ssh).await? => {
                return Err(Error::Helper { host, doing: doing.into(), source });
            }
            Ok(Err(_)) => return Err(ssh.forwarding_refused(doing)),
            Err(_) => return Err(Error::Timeout { host, doing: "starting its helper".into(), limit }),
        }
        current.number += 1;
        current.bridge = Some(bridge.clone());
        Ok((bridge, current.number))
    }

    /// Forgets a bridge, unless there is another one by now.
    async fn drop_bridge(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.number == number {
            current.bridge = None;
        }
    }
}

/// Whether the host may have what it is made of: only that Docker knows no such container says that it hasn't.
async fn is_installed(ssh: &Ssh) -> Result<bool, Error> {
    let found = ssh.run(&["docker", "container", "inspect", HELPER], ssh.limit()).await?;
    let is_unknown = || found.status == NO_COMMAND || found.last_line().contains("No such container");
    Ok(found.success() || !is_unknown())
}
