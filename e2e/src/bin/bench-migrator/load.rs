//! The load: pgbench at a steady rate, and what its log says of each transaction.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// A load that runs.
pub(crate) struct Load {
    process: Child,
    folder: TempDir,
}

/// A transaction.
#[derive(Clone, Copy, Debug)]
struct Transaction {
    /// When it had ended, since 1970.
    ended: Duration,
    /// From when it was due.
    took: Duration,
}

/// What a load met in a span of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Load {
    /// Starts four clients that run one of `scripts`, by their weights, `rate` times a second in all.
    pub(crate) fn start(url: &str, rate: u32, scripts: &[(&str, u32)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("pgbench");
        command
            .args(["--no-vacuum", "--log", "--client=4", "--jobs=2", "--time=3600"])
            .arg(format!("--rate={rate}"))
            .arg(format!("--log-prefix={}", folder.path().join("log").display()));
        for (number, (script, weight)) in scripts.iter().enumerate() {
            let path = folder.path().join(format!("{number}.sql"));
            std::fs::write(&path, script)?;
            command.arg(format!("--file={}@{weight}", path.display()));
        }
        let process = command.arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self { process: process.context("pgbench could not be run")?, folder })
    }

    /// Stops it; what it met between two times, by this machine's clock.
    pub(crate) fn stop(mut self, from: SystemTime, to: SystemTime) -> anyhow::Result<Latency> {
        let failed = self.process.try_wait()?;
        ensure!(failed.is_none(), "pgbench ended by itself: {failed:?}");
        // An interrupt: it writes its log to the end, and nothing is in flight that counts.
        let pid = nix::unistd::Pid::from_raw(self.process.id().try_into()?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT)?;
        self.process.wait()?;
        let (from, to) = (since_1970(from)?, since_1970(to)?);
        let mut taken = Vec::new();
        for entry in std::fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                continue;
            }
            let log = std::fs::read_to_string(&path)?;
            let within = |transaction: &Transaction| {
                transaction.ended >= from && transaction.ended.saturating_sub(transaction.took) <= to
            };
            taken.extend(log.lines().filter_map(read).filter(within).map(|transaction| transaction.took));
        }
        Latency::of(taken).context("there were no transactions")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Latency {
    /// Of the times that transactions took; none where there were none.
    pub(crate) fn of(mut taken: Vec<Duration>) -> Option<Self> {
        taken.sort_unstable();
        let at = |share: usize| taken.get(taken.len() * share / 100).copied();
        Some(Self { p50: at(50)?, p99: at(99)?, max: taken.last().copied()? })
    }
}

/// A line of pgbench's log: client, number, microseconds, script, and the time of the end in seconds and microseconds.
fn read(line: &str) -> Option<Transaction> {
    let mut fields = line.split(' ').skip(2);
    let took = Duration::from_micros(fields.next()?.parse().ok()?);
    let mut end = fields.skip(1);
    let seconds = Duration::from_secs(end.next()?.parse().ok()?);
    let ended = seconds + Duration::from_micros(end.next()?.parse().ok()?);
    Some(Transaction { ended, took })
}

fn since_1970(time: SystemTime) -> anyhow::Result<Duration> {
    Ok(time.duration_since(SystemTime::UNIX_EPOCH)?)
}
