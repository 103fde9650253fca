//! What nginx tells about each request, by datagrams to a loopback address: one line of its log in each. It never waits for
//! one: what comes faster than it is read is lost, and then counted as if it had not been.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cutover_control::SetStatus;
use hyper::StatusCode;
use serde::Deserialize;
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use crate::drive::nginx_config::FRESH;
use crate::error::Error;
use crate::targets::Counters;

/// The format of the lines, in nginx's words. Lists have an item for each try, with `, ` between them.
pub(super) const FORMAT: &str = r#"'{"set":"$proxy_host","status":"$upstream_status","head":"$upstream_header_time","bytes":"$body_bytes_sent"}'"#;

/// Bytes that may wait to be read: the kernel gives as many as it is allowed to (`net.core.rmem_max`).
const WAITING: usize = 4 << 20;

/// What was counted, by set.
type Counted = Arc<Mutex<HashMap<String, Counters>>>;

/// The receiver of the lines, for as long as this value lives.
#[derive(Debug)]
pub(super) struct NginxLog {
    counted: Counted,
    _reading: AbortOnDropHandle<()>,
}

/// A line. An answer that never began has `-` or nothing for its head.
#[derive(Deserialize)]
struct Line<'a> {
    set: &'a str,
    status: &'a str,
    head: &'a str,
    bytes: &'a str,
}

impl NginxLog {
    /// # Errors
    ///
    /// [`Error::Log`].
    pub(super) async fn receive(address: SocketAddr) -> Result<Self, Error> {
        let socket = UdpSocket::bind(address).await.map_err(|source| Error::Log { address, source })?;
        let sized = socket2::SockRef::from(&socket).set_recv_buffer_size(WAITING);
        sized.map_err(|source| Error::Log { address, source })?;
        let counted = Counted::default();
        let reading = tokio::spawn(read(socket, Arc::clone(&counted)));
        Ok(Self { counted, _reading: AbortOnDropHandle::new(reading) })
    }

    /// Counts for these sets from now on, and for no others.
    pub(super) fn count(&self, sets: BTreeSet<String>) {
        let mut counted = lock(&self.counted);
        counted.retain(|set, _| sets.contains(set));
        for set in sets {
            counted.entry(set).or_default();
        }
    }

    pub(super) fn fill(&self, set: &str, status: &mut SetStatus) {
        if let Some(counters) = lock(&self.counted).get(set) {
            counters.fill(status);
        }
    }
}

async fn read(socket: UdpSocket, counted: Counted) {
    let mut datagram = vec![0; 4 << 10];
    loop {
        match socket.recv(&mut datagram).await {
            Ok(length) => take(datagram.get(..length).unwrap_or_default(), &counted),
            Err(error) => {
                tracing::warn!(%error, "reading what nginx tells failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// `<190>Nov 26 15:23:20 cutover: {…}` (RFC 3164).
fn take(datagram: &[u8], counted: &Counted) {
    let Some(at) = datagram.iter().position(|byte| *byte == b'{') else { return };
    let Ok(line) = serde_json::from_slice::<Line<'_>>(datagram.get(at..).unwrap_or_default()) else {
        tracing::debug!("a datagram of nginx is no line of the log");
        return;
    };
    if let Some(counters) = lock(counted).get(line.set.strip_suffix(FRESH).unwrap_or(line.set)) {
        line.count(counters);
    }
}

impl Line<'_> {
    fn count(&self, counters: &Counters) {
        let last = |list: &str| list.rsplit([',', ':']).next().unwrap_or_default().trim().to_owned();
        let Ok(status) = last(self.status).parse::<StatusCode>() else { return };
        for _ in self.status.matches(", ") {
            counters.retried();
        }
        // Seconds, with three places.
        match last(self.head).parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            Some(took) => counters.answered(status, took),
            // The client went away before there was an answer.
            None if status.as_u16() == 499 => {}
            None => counters.unanswered(Duration::ZERO),
        }
        counters.passed_on(self.bytes.parse().unwrap_or_default());
    }
}

fn lock(counted: &Mutex<HashMap<String, Counters>>) -> MutexGuard<'_, HashMap<String, Counters>> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[&str]) -> SetStatus {
        let counted = Counted::default();
        lock(&counted).insert("a.b.d1".to_owned(), Counters::default());
        for line in lines {
            take(format!("<190>Nov 26 15:23:20 cutover: {line}").as_bytes(), &counted);
        }
        let mut status = SetStatus::new("d1", "r");
        if let Some(counters) = lock(&counted).get("a.b.d1") {
            counters.fill(&mut status);
        }
        status
    }

    #[test]
    fn answers_are_the_applications_and_failures_are_nginxs() {
        let status = counted(&[
            r#"{"set":"a.b.d1","status":"200","head":"0.004","bytes":"7"}"#,
            r#"{"set":"a.b.d1.fresh","status":"502, 500","head":"-, 1.200","bytes":"0"}"#,
            r#"{"set":"a.b.d1","status":"502","head":"-","bytes":"9"}"#,
            r#"{"set":"a.b.d1","status":"499","head":"","bytes":"0"}"#,
            r#"{"set":"a.b.other","status":"200","head":"0.004","bytes":"7"}"#,
            r#"{"set":"","status":"","head":"","bytes":"7"}"#,
            "nonsense",
        ]);
        assert_eq!((status.requests, status.server_errors, status.proxy_errors), (3, 1, 1));
        assert_eq!((status.classes, status.retries, status.response_bytes), ([0, 1, 0, 0, 1], 1, 16));
        assert_eq!(status.latency_sum_us, 1_204_000);
    }
}
