//! The same by hand: one SSH session that starts the new container, waits until it answers, and removes the old one.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::ensure;
use cutover_e2e::Host;

use crate::measure::{Row, median};

/// What somebody writes who has no tool: no proxy to switch, no record, nothing taken back. It is the floor of what Docker
/// and SSH cost.
const SCRIPT: &str = r#"
image=$(docker images --format '{{.Repository}}:{{.Tag}}' 'cutover/production/hello' | head -n 1)
old=$(docker ps -q --filter label=by-hand)
new=$(docker run -d --label by-hand "$image")
address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$new")
until (exec 3<>"/dev/tcp/$address/3000" && printf 'GET /up HTTP/1.0\r\n\r\n' >&3 && read -r line <&3 && [[ $line == *200* ]]) 2>/dev/null; do sleep 0.05; done
[ -z "$old" ] || { docker stop -t 10 $old && docker rm $old; } >/dev/null
"#;

/// Runs it so often, each time with the container of the run before as the old one.
pub(crate) fn runs(name: &'static str, host: &Host, runs: usize) -> anyhow::Result<Row> {
    let mut all = Vec::new();
    for _ in 0..=runs {
        let begun = Instant::now();
        let status = Command::new("ssh")
            .arg("-i")
            .arg(&host.key)
            .args([
                "-o",
                &format!("UserKnownHostsFile={}", host.known_hosts.display()),
                &format!("root@{}", host.address),
            ])
            .args(["bash", "-c", &format!("'{}'", SCRIPT.replace('\'', "'\\''"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "the script failed");
        all.push(begun.elapsed());
    }
    all.remove(0);
    Ok(Row { name, command: median(all).unwrap_or_default(), first_answer: None, stages: Vec::new() })
}
