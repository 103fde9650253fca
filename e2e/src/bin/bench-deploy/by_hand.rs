//! The same by hand: what somebody writes who has no tool, and what Docker itself takes of it.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use cutover_e2e::Host;

use crate::row::Row;

/// One SSH session that starts the new container, waits until it answers, and removes the old one: no proxy to switch, no
/// record, nothing taken back.
const SCRIPT: &str = r#"
image=$(docker images --format '{{.Repository}}:{{.Tag}}' 'cutover/production/hello' | head -n 1)
old=$(docker ps -q --filter label=by-hand)
new=$(docker run -d --label by-hand "$image")
address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$new")
until (exec 3<>"/dev/tcp/$address/3000" && printf 'GET /up HTTP/1.0\r\n\r\n' >&3 && read -r line <&3 && [[ $line == *200* ]]) 2>/dev/null; do sleep 0.05; done
[ -z "$old" ] || { docker stop -t 10 $old && docker rm $old; } >/dev/null
"#;

/// What every deploy asks of Docker, on the host itself: a container that is limited like ours is started, one is stopped
/// and removed.
const DOCKER: &str = r#"
image=$(docker images --format '{{.Repository}}:{{.Tag}}' 'cutover/production/*' | head -n 1)
new=$(docker run -d --init --cap-drop ALL --security-opt no-new-privileges --read-only --memory 64m --pids-limit 64 --network "$(docker network ls --filter name=cutover.production --format '{{.Name}}' | head -n 1)" "$image")
docker stop -t 10 "$new" >/dev/null && docker rm "$new" >/dev/null
"#;

/// Runs the script so often, each time with the container of the run before as the old one.
pub(crate) fn script(name: &'static str, host: &Host, runs: usize) -> anyhow::Result<Row> {
    measure(name, runs, || {
        let mut ssh = Command::new("ssh");
        ssh.arg("-i")
            .arg(&host.key)
            .args(["-o", &format!("UserKnownHostsFile={}", host.known_hosts.display())])
            .arg(format!("root@{}", host.address))
            .args(["bash", "-c", &format!("'{}'", SCRIPT.replace('\'', "'\\''"))]);
        let status = ssh.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "the script failed");
        Ok(())
    })
}

/// Runs Docker's part once, on all hosts at once: what that costs more than on one is the machine's, not ours.
pub(crate) fn docker(hosts: &[&Host]) -> anyhow::Result<Duration> {
    let on = |host: &Host| host.exec(&["bash", "-c", DOCKER]).map(drop);
    let begun = Instant::now();
    thread::scope(|scope| {
        let running: Vec<_> = hosts.iter().map(|host| scope.spawn(|| on(host))).collect();
        running.into_iter().try_for_each(|run| run.join().map_err(|_| anyhow!("a run panicked"))?)
    })?;
    Ok(begun.elapsed())
}

/// The first run warms up, and doesn't count.
fn measure(name: &'static str, runs: usize, run: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<Row> {
    let mut all = Vec::new();
    for _ in 0..=runs {
        let begun = Instant::now();
        run()?;
        all.push(begun.elapsed());
    }
    all.remove(0);
    Ok(Row::timed(name, all))
}
