//! The load tools for saturation: wrk for HTTP/1.1, h2load for HTTP/2.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;

/// Connections, each with one request at a time.
pub(crate) const CONNECTIONS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Wrk,
    H2load,
}

/// What a tool has counted.
pub(crate) struct Counted {
    pub(crate) requests: f64,
    /// Without an answer, or with one that is not 2xx.
    pub(crate) failed: f64,
    /// Requests per second.
    pub(crate) rate: f64,
}

impl Tool {
    /// As many requests as can be had, for that long.
    pub(crate) async fn saturate(
        self,
        on: SocketAddr,
        path: &str,
        time: Duration,
    ) -> anyhow::Result<Counted> {
        let (connections, seconds) = (CONNECTIONS.to_string(), time.as_secs().max(1).to_string());
        let url = format!("http://{on}{path}");
        let (program, arguments) = match self {
            Self::Wrk => {
                ("wrk", ["--threads", "1", "--connections", &connections, "--duration", &seconds, &url])
            }
            Self::H2load => (
                "h2load",
                ["--threads=1", "--max-concurrent-streams=1", "-c", &connections, "-D", &seconds, &url],
            ),
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let said = command.output().await.with_context(|| format!("starting {program}"))?;
        let text = String::from_utf8_lossy(&said.stdout);
        let counted = match self {
            Self::Wrk => wrk(&text),
            Self::H2load => h2load(&text),
        };
        ensure!(said.status.success(), "{program}: {text}{}", String::from_utf8_lossy(&said.stderr));
        counted.with_context(|| format!("{program} says what is not understood: {text}"))
    }
}

/// `  366081 requests in 5.00s, 400.00MB read`, and lines about errors where there were any.
fn wrk(text: &str) -> Option<Counted> {
    let of = |line: &str, before: &str| number(line.split_once(before)?.1);
    let errors = text.lines().find(|line| line.contains("Socket errors:"));
    let lost = errors.map_or(0.0, |line| {
        ["connect ", "read ", "write ", "timeout "].iter().filter_map(|kind| of(line, kind)).sum()
    });
    let refused = text.lines().find_map(|line| of(line, "Non-2xx or 3xx responses: ")).unwrap_or_default();
    Some(Counted {
        requests: text.lines().find(|line| line.contains(" requests in ")).and_then(number)?,
        failed: lost + refused,
        rate: text.lines().find_map(|line| of(line, "Requests/sec: "))?,
    })
}

/// `finished in 5.00s, 12345.60 req/s, 13.50MB/s` and
/// `requests: 61728 total, 61792 started, 61728 done, 61728 succeeded, 0 failed, 0 errored, 0 timeout`.
fn h2load(text: &str) -> Option<Counted> {
    let line = |start| text.lines().find_map(|line: &str| line.strip_prefix(start));
    let counts = line("requests: ")?;
    let count = |name| counts.split(", ").find(|count| count.ends_with(name)).and_then(number);
    let rate = line("finished in ")?.split(", ").find(|part| part.ends_with(" req/s")).and_then(number)?;
    let (requests, succeeded) = (count(" done")?, count(" succeeded")?);
    Some(Counted { requests, failed: requests - succeeded + count(" errored")?, rate })
}

/// The number that a text begins with.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_wrk_says_is_counted() {
        let said = "Running 2s test @ http://127.0.0.1:8080/1k\n  1 threads and 64 connections\n  \
            Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.52ms    1.04ms  12.07ms   68.81%\n    \
            Req/Sec    43.02k     2.31k   46.10k    75.00%\n  85651 requests in 2.01s, 96.32MB read\n  \
            Socket errors: connect 0, read 3, write 1, timeout 2\n  Non-2xx or 3xx responses: 10\n\
            Requests/sec:  42679.41\nTransfer/sec:     47.99MB\n";
        let counted = wrk(said).unwrap();
        assert_eq!((counted.requests, counted.failed, counted.rate), (85651.0, 16.0, 42679.41));
    }

    #[test]
    fn what_h2load_says_is_counted() {
        let said = "Main benchmark duration is over for thread #0. Stopping all clients.\n\n\
            finished in 2.00s, 35785.50 req/s, 38.51MB/s\n\
            requests: 71571 total, 71635 started, 71571 done, 71560 succeeded, 11 failed, 4 errored, 0 timeout\n\
            status codes: 71560 2xx, 0 3xx, 0 4xx, 11 5xx\n";
        let counted = h2load(said).unwrap();
        assert_eq!((counted.requests, counted.failed, counted.rate), (71571.0, 15.0, 35785.5));
    }

    #[test]
    fn what_is_not_understood_is_no_count() {
        assert!(wrk("unable to connect to 127.0.0.1:1 Connection refused").is_none());
        assert!(h2load("").is_none());
    }
}
