//! The streams that the journal stands on.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use cutover_core::{Request, STREAM_SUBJECTS};

use crate::bus::{JOURNAL_ID, LEASE, LOG, OUTPUT, TIMER, TRIGGER};

const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
const OUTPUT_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
const OUTPUT_BYTES: i64 = 1 << 30;
/// How long a request is kept, and known as the one that came before.
const REQUEST_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
const REQUESTS: i64 = 100_000;
const REQUESTS_BYTES: i64 = 128 << 20;
/// The largest request. One is a few hundred bytes.
const REQUEST_BYTES: i32 = 16 << 10;

/// The journal: nothing is discarded, and `id` tells it from any other.
pub(crate) fn log(copies: usize, id: String) -> Config {
    Config {
        name: LOG.to_owned(),
        subjects: STREAM_SUBJECTS.iter().map(ToString::to_string).collect(),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        allow_atomic_publish: true,
        metadata: HashMap::from([(JOURNAL_ID.to_owned(), id)]),
        ..on_disk(copies)
    }
}

/// Build and container output, for a week.
pub(crate) fn output(copies: usize) -> Config {
    Config {
        name: OUTPUT.to_owned(),
        subjects: vec!["cutover.output.>".to_owned()],
        discard: DiscardPolicy::Old,
        max_age: OUTPUT_AGE,
        max_bytes: OUTPUT_BYTES,
        allow_direct: true,
        ..on_disk(copies)
    }
}

/// Timers: one schedule for each service, and one message that says that it has gone off.
pub(crate) fn timer(copies: usize) -> Config {
    Config {
        name: TIMER.to_owned(),
        subjects: vec!["cutover.timer.>".to_owned()],
        discard: DiscardPolicy::Old,
        max_messages_per_subject: 1,
        allow_message_schedules: true,
        ..on_disk(copies)
    }
}

/// Leases: the last record of each.
pub(crate) fn lease(copies: usize) -> Config {
    Config {
        name: LEASE.to_owned(),
        subjects: vec!["cutover.lease.>".to_owned()],
        discard: DiscardPolicy::Old,
        max_messages_per_subject: 1,
        allow_direct: true,
        ..on_disk(copies)
    }
}

/// Requests for deployments, and what became of each, for a week. Whoever asks comes from outside: it is bounded in all ways, and refuses what is new when it
/// is full, so that no flood pushes out what was taken in before.
pub(crate) fn trigger(copies: usize) -> Config {
    Config {
        name: TRIGGER.to_owned(),
        subjects: vec![Request::subjects(), Request::answers()],
        discard: DiscardPolicy::New,
        max_age: REQUEST_AGE,
        max_messages: REQUESTS,
        max_bytes: REQUESTS_BYTES,
        max_message_size: REQUEST_BYTES,
        duplicate_window: REQUEST_AGE,
        allow_direct: true,
        ..on_disk(copies)
    }
}

fn on_disk(copies: usize) -> Config {
    Config { storage: StorageType::File, num_replicas: copies, ..Config::default() }
}
