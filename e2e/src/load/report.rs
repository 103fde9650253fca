//! What the load has seen.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Answer;
use super::latencies::Latencies;

/// What came of a load, or has come of it so far.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// When the load began.
    pub started: Instant,
    /// Requests whose time had come.
    pub sent: u64,
    /// Requests with a whole answer, of whatever status.
    pub answered: u64,
    /// Requests with no answer, or with one that is not 2xx, in the order of their ends.
    pub failed: Vec<Failure>,
    /// How often a kept connection turned out to be closed by the server before it had read the request, which then
    /// went out again on another one. Legal (RFC 9112, section 9.3.1), and no failure by itself.
    pub retried_idle: u64,
    /// The answers, by their header `x-version`; those without it are under `None`.
    pub by_version: BTreeMap<Option<String>, VersionReport>,
    /// The longest time from schedule to whole answer; zero when nothing was answered. So are the percentiles.
    pub slowest: Duration,
    /// The median of these times.
    pub p50: Duration,
    /// The time that 99 % of the answers were within.
    pub p99: Duration,
    /// All of these times.
    pub latencies: Latencies,
}

/// The answers of one version.
#[derive(Debug, Clone)]
pub struct VersionReport {
    /// How many there were, of whatever status.
    pub answered: u64,
    /// How many there were of each status.
    pub statuses: BTreeMap<u16, u64>,
    /// When the first one was complete.
    pub first: Instant,
    /// When the last one was complete.
    pub last: Instant,
}

/// A request that its user would call failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When it was due.
    pub at: Instant,
    /// What went wrong.
    pub kind: FailureKind,
    /// The header `x-version` of its answer, where there was one.
    pub version: Option<String>,
}

/// What can go wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// A whole answer came, and its status was not 2xx.
    Status(u16),
    /// The connection ended before the answer did.
    Reset,
    /// No connection could be made.
    Refused,
    /// No whole answer came in time.
    Timeout,
    /// What came was not HTTP/1.1.
    Malformed,
}

impl LoadReport {
    /// When the first answer of a version was complete.
    #[must_use]
    pub fn first_answer_of(&self, version: &str) -> Option<Instant> {
        self.by_version.get(&Some(version.to_owned())).map(|answers| answers.first)
    }

    /// Failures but for a version's own answers: what is left when a bad version's 500s are counted apart.
    pub fn failed_apart_from<'a>(&'a self, version: &'a str) -> impl Iterator<Item = &'a Failure> {
        self.failed.iter().filter(move |failure| failure.version.as_deref() != Some(version))
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(formatter, "status {status}"),
            Self::Reset => formatter.write_str("connection reset"),
            Self::Refused => formatter.write_str("connection refused"),
            Self::Timeout => formatter.write_str("timed out"),
            Self::Malformed => formatter.write_str("malformed answer"),
        }
    }
}

/// How one request ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) latency: Duration,
    pub(super) retried_idle: u64,
    pub(super) answer: Result<Answer, FailureKind>,
}

/// The counts while the load runs.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    started: Instant,
    sent: u64,
    failed: Vec<Failure>,
    retried_idle: u64,
    by_version: BTreeMap<Option<String>, VersionReport>,
    /// In microseconds; one for each answer.
    latencies: Vec<u32>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let counts = Counts {
            started: Instant::now(),
            sent: 0,
            failed: Vec::new(),
            retried_idle: 0,
            by_version: BTreeMap::new(),
            latencies: Vec::new(),
        };
        Self { counts: Mutex::new(counts) }
    }

    pub(super) fn sent(&self) {
        self.lock().sent += 1;
    }

    pub(super) fn settled(&self, scheduled: Instant, outcome: Outcome) {
        let now = Instant::now();
        let mut counts = self.lock();
        counts.retried_idle += outcome.retried_idle;
        match outcome.answer {
            Ok(answer) => {
                counts.latencies.push(u32::try_from(outcome.latency.as_micros()).unwrap_or(u32::MAX));
                if !answer.is_success() {
                    let kind = FailureKind::Status(answer.status);
                    counts.failed.push(Failure { at: scheduled, kind, version: answer.version.clone() });
                }
                let version = counts.by_version.entry(answer.version).or_insert_with(|| VersionReport {
                    answered: 0,
                    statuses: BTreeMap::new(),
                    first: now,
                    last: now,
                });
                version.answered += 1;
                version.last = now;
                *version.statuses.entry(answer.status).or_default() += 1;
            }
            Err(kind) => counts.failed.push(Failure { at: scheduled, kind, version: None }),
        }
    }

    pub(super) fn report(&self) -> LoadReport {
        let counts = self.lock();
        let latencies = Latencies::new(counts.latencies.clone());
        LoadReport {
            started: counts.started,
            sent: counts.sent,
            answered: latencies.count(),
            failed: counts.failed.clone(),
            retried_idle: counts.retried_idle,
            by_version: counts.by_version.clone(),
            slowest: latencies.percentile(100),
            p50: latencies.percentile(50),
            p99: latencies.percentile(99),
            latencies,
        }
    }

    /// Every change is a few additions that can't panic half-way.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
