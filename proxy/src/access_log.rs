//! The access log: one [`Line`] for each request, once its response has ended.
//!
//! A [`record`] gathers what is said while the request is carried; what an upgraded connection moves is [`counted`].

mod counted;
mod line;
mod record;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use hyper::StatusCode;
use hyper::header::HeaderName;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::clients::Client;
use crate::config::AccessLogOptions;
use crate::exchange::Rejection;
use line::Line;

pub(crate) use counted::Counted;
pub(crate) use line::Aborted;
pub(crate) use record::{Record, Recorded};

/// Lines that wait to be written; what comes while there are as many is left out.
const WAITING: usize = 4096;

/// From one word on what was left out to the next.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long the last lines may take when the proxy ends: whoever reads them may have stopped.
const LAST_LINES: Duration = Duration::from_secs(1);

/// One line of JSON for each request, written by a thread of its own: a request never waits for it.
#[derive(Debug)]
pub(crate) struct AccessLog {
    lines: SyncSender<Vec<u8>>,
    left_out: Arc<LeftOut>,
    rate: Rate,
    /// Whether a path is followed by its query, which may hold what is nobody else's to know.
    pub(crate) query: bool,
    /// Fields that are logged by their values.
    pub(crate) headers: Vec<HeaderName>,
}

/// The thread of an access log.
#[derive(Debug)]
pub(crate) struct Writing {
    over: oneshot::Receiver<()>,
}

/// How many lines were left out.
#[derive(Debug, Default)]
struct LeftOut {
    over_rate: AtomicU64,
    not_taken: AtomicU64,
}

/// At most so many lines in each second.
#[derive(Debug)]
struct Rate {
    most: u32,
    began: Instant,
    /// The second, counted from the beginning, in the upper half; its lines in the lower.
    window: AtomicU64,
}

impl AccessLog {
    /// Begins to write to `out`.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn start(
        options: &AccessLogOptions,
        out: impl Write + Send + 'static,
    ) -> io::Result<(Arc<Self>, Writing)> {
        let (lines, waiting) = sync_channel(WAITING);
        let (is_over, over) = oneshot::channel();
        let left_out = Arc::new(LeftOut::default());
        let told = Arc::clone(&left_out);
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            if let Err(error) = write_all(&waiting, &told, io::BufWriter::new(out)) {
                tracing::error!(%error, "writing the access log failed: it is off from now on");
            }
            // Nobody may be waiting for it.
            is_over.send(()).ok();
        })?;
        let rate = Rate::new(options.rate.get());
        let log = Self { lines, left_out, rate, query: options.query, headers: options.headers.clone() };
        Ok((Arc::new(log), Writing { over }))
    }

    /// Says that a request was refused for its head.
    pub(crate) fn refused(&self, client: &Client, rejection: &Rejection) {
        self.write(&Line { rejection: Some(&rejection.to_string()), ..refused(client, rejection.status()) });
    }

    /// Hands a line over to be written, unless there are too many.
    pub(crate) fn write(&self, line: &Line<'_>) {
        if !self.rate.admits() {
            self.left_out.over_rate.fetch_add(1, Relaxed);
            return;
        }
        let Ok(mut line) = serde_json::to_vec(line) else { return };
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            self.left_out.not_taken.fetch_add(1, Relaxed);
        }
    }
}

impl Writing {
    /// Waits for the last lines, once nobody has the log any more.
    pub(crate) async fn end(self) {
        if let Err(error) = tokio::time::timeout(LAST_LINES, self.over).await {
            tracing::warn!(%error, "the last lines of the access log were not taken");
        }
    }
}

impl Rate {
    fn new(most: u32) -> Self {
        Self { most, began: Instant::now(), window: AtomicU64::new(0) }
    }

    fn admits(&self) -> bool {
        self.admits_at(self.began.elapsed().as_secs())
    }

    fn admits_at(&self, second: u64) -> bool {
        let admit = |window: u64| match (window >> 32, window & u64::from(u32::MAX)) {
            (of, lines) if of >= second => (lines < u64::from(self.most)).then_some(window + 1),
            _ => Some(second << 32 | 1),
        };
        self.window.fetch_update(Relaxed, Relaxed, admit).is_ok()
    }
}

/// What is said of lines that were left out.
#[derive(Serialize)]
struct Told {
    time: String,
    /// Lines more than the rate allows, since it was last said.
    over_rate: u64,
    /// Lines that were not taken fast enough by whoever reads them.
    not_taken: u64,
}

impl LeftOut {
    fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        let (over_rate, not_taken) = (self.over_rate.swap(0, Relaxed), self.not_taken.swap(0, Relaxed));
        if over_rate + not_taken == 0 {
            return Ok(());
        }
        serde_json::to_writer(&mut *out, &Told { time: time(SystemTime::now()), over_rate, not_taken })?;
        out.write_all(b"\n")?;
        out.flush()
    }
}

/// A time as the access log has it (RFC 3339), with microseconds.
pub(crate) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

/// What is known of a request that was not even taken for one.
fn refused(client: &Client, status: StatusCode) -> Line<'_> {
    let (client, tls, status) = (client.address(), client.tls(), Some(status.as_u16()));
    Line { time: time(SystemTime::now()), client, tls, status, ..Line::default() }
}

/// Writes lines as they come until nobody has any more.
fn write_all(lines: &Receiver<Vec<u8>>, left_out: &LeftOut, mut out: impl Write) -> io::Result<()> {
    let mut tell_at = Instant::now() + TELL_EVERY;
    loop {
        match lines.recv_timeout(tell_at.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                out.write_all(&line)?;
                lines.try_iter().take(WAITING).try_for_each(|line| out.write_all(&line))?;
                out.flush()?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return left_out.tell(&mut out),
        }
        if Instant::now() >= tell_at {
            left_out.tell(&mut out)?;
            tell_at = Instant::now() + TELL_EVERY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_as_many_lines_as_the_rate() {
        let rate = Rate::new(2);
        let admitted = [0, 0, 0, 1, 1, 1, 5, 5, 5].map(|second| rate.admits_at(second));
        assert_eq!(admitted, [true, true, false, true, true, false, true, true, false]);
        // Another worker has looked at the clock before.
        assert!(!rate.admits_at(4));
    }
}
