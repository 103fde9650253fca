//! What stands in for an sshd that forwards nothing: a container of the proxy's image, for as long as the connection lasts.

use std::time::Duration;

use cutover_bridge::Bridge;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::ssh::Ssh;
use crate::{Error, HELPER};

/// Runs it. It has the host's network, and of its files the sockets of Cutover's programs; it is gone when its standard input
/// ends.
const RUN: &str = r#"
image=$(docker container inspect --format '{{.Image}}' "$1") || exit
exec docker run --rm --interactive --network host --user 0:0 --cap-drop ALL --security-opt no-new-privileges --read-only \
  --log-driver none --label cutover.bridge= --volume /run/cutover:/run/cutover "$image" bridge
"#;

/// How long it may take until its first answer, beside what is asked for.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// The bridge to the helper of a host, and a new one when that is gone.
#[derive(Default)]
pub(crate) struct Helper {
    bridge: Mutex<Option<Bridge>>,
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
        loop {
            let (bridge, is_new) = self.bridge(ssh).await?;
            let limit = if is_new { limit + STARTS_WITHIN } else { limit };
            let late = |_| Error::Timeout { host: host(), doing: doing.into(), limit };
            let error = match timeout(limit, ask(bridge.clone())).await.map_err(late)? {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            match error {
                cutover_bridge::Error::NotListening(_) => {
                    return Err(Error::NotListening { host: host(), target: target.into() });
                }
                // That the one before is gone was noticed now only.
                _ if bridge.is_closed() && !is_new => {}
                _ if is_new && !is_installed(ssh).await? => return Err(ssh.forwarding_refused(doing)),
                source => return Err(Error::Helper { host: host(), doing: doing.into(), source }),
            }
        }
    }

    /// The bridge, and whether it was made just now. One caller makes it, and the others wait for it.
    async fn bridge(&self, ssh: &Ssh) -> Result<(Bridge, bool), Error> {
        let mut current = self.bridge.lock().await;
        if let Some(bridge) = current.as_ref().filter(|bridge| !bridge.is_closed()) {
            return Ok((bridge.clone(), false));
        }
        let stream = ssh.pipe(&["sh", "-c", RUN, "sh", HELPER]).await?;
        Ok((current.insert(Bridge::over(stream)).clone(), true))
    }
}

/// Whether the host has what it is made of.
async fn is_installed(ssh: &Ssh) -> Result<bool, Error> {
    let found = ssh.run(&["docker", "container", "inspect", HELPER], ssh.limit()).await?;
    Ok(found.success())
}
