//! Where the CPU of a request goes: what `perf` samples of a proxy while its core has nothing left.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::bench::Bench;
use crate::preface;
use crate::running::Running;
use crate::tool::{CONNECTIONS, Tool};
use crate::upstream::{LARGE, SMALL};

/// Samples per second of CPU: a prime, so that nothing periodic is met each time.
const FREQUENCY: &str = "1999";
const WARM_UP: Duration = Duration::from_secs(1);
/// How many functions are shown.
const SHOWN: usize = 20;
/// What `perf` calls the kernel, and its modules.
const KERNEL: &str = "[kernel";

/// How much of the samples fell on a function.
struct Share {
    percent: f64,
    is_kernel: bool,
    function: String,
}

/// One profile of each proxy for each kind of work.
pub(crate) async fn report(bench: &Bench) -> anyhow::Result<()> {
    let works = [
        ("HTTP/1.1, 1 KiB", Tool::Wrk, SMALL),
        ("HTTP/1.1, 64 KiB", Tool::Wrk, LARGE),
        ("HTTP/2, 1 KiB", Tool::H2load, SMALL),
    ];
    for peer in bench.options.contenders() {
        let running = bench.start(peer).await?;
        let http2 = preface::is_answered(running.http2()).await;
        for (name, tool, path) in works {
            if tool == Tool::H2load && !http2 {
                continue;
            }
            println!("\n{peer}: {name}, {CONNECTIONS} connections, one core\n");
            print(&measure(&running, tool, path, bench.options.run()).await?);
        }
        running.stop().await?;
    }
    Ok(())
}

async fn measure(running: &Running, tool: Tool, path: &str, time: Duration) -> anyhow::Result<Vec<Share>> {
    let address = if tool == Tool::H2load { running.http2() } else { running.http() };
    tool.saturate(address, path, WARM_UP).await?;
    let samples = running.site().folder().join("perf.data");
    let members: Vec<String> = running.group().members()?.iter().map(ToString::to_string).collect();
    let mut recorder = Command::new("perf")
        .args(["record", "--quiet", "--freq", FREQUENCY, "--pid", &members.join(","), "--output"])
        .arg(&samples)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting perf (Debian's package linux-perf)")?;
    let saturated = tool.saturate(address, path, time).await;
    let id = recorder.id().context("perf has ended before the load")?;
    kill(Pid::from_raw(id.try_into()?), Signal::SIGINT)?;
    recorder.wait().await?;
    saturated?;
    shares(&samples).await
}

async fn shares(samples: &Path) -> anyhow::Result<Vec<Share>> {
    let mut command = Command::new("perf");
    command.args(["report", "--stdio", "--field-separator=|", "--fields=overhead,dso,sym", "--input"]);
    let said = command.arg(samples).stdin(Stdio::null()).output().await.context("starting perf")?;
    ensure!(said.status.success(), "perf report: {}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8_lossy(&said.stdout);
    let shares: Vec<Share> = text.lines().filter_map(share).collect();
    ensure!(!shares.is_empty(), "perf report says what is not understood: {text}");
    Ok(shares)
}

/// `     4.59%|[kernel.kallsyms]|[k] __tcp_transmit_skb`
fn share(line: &str) -> Option<Share> {
    let mut fields = line.split('|');
    let percent = fields.next()?.trim().strip_suffix('%')?.parse().ok()?;
    let is_kernel = fields.next()?.trim().starts_with(KERNEL);
    let function = fields.next()?.trim().trim_start_matches("[k] ").trim_start_matches("[.] ").to_owned();
    Some(Share { percent, is_kernel, function })
}

fn print(shares: &[Share]) {
    let mut of: BTreeMap<bool, f64> = BTreeMap::new();
    for share in shares {
        *of.entry(share.is_kernel).or_default() += share.percent;
    }
    let part = |is_kernel| of.get(&is_kernel).copied().unwrap_or_default();
    println!("kernel {:.1} %, program {:.1} %", part(true), part(false));
    for share in shares.iter().take(SHOWN) {
        let place = if share.is_kernel { "kernel" } else { "program" };
        println!("{:>6.2} %  {place:<7}  {}", share.percent, share.function);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_of_perf_is_read_and_another_is_not() {
        let of = share("     4.59%|[kernel.kallsyms]|[k] __tcp_transmit_skb").unwrap();
        assert_eq!((of.percent, of.is_kernel, of.function.as_str()), (4.59, true, "__tcp_transmit_skb"));
        let of = share("     0.31%|cutover-proxy    |[.] <a::B as c::D>::poll").unwrap();
        assert_eq!((of.percent, of.is_kernel, of.function.as_str()), (0.31, false, "<a::B as c::D>::poll"));
        assert!(share("# Total Lost Samples: 0").is_none() && share("").is_none());
    }
}
