//! The records of leases, as the server holds them, past the crate that is tested.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::jetstream::{self, stream::Stream};
use cutover_core::{Duty, LeaseRecord, ServiceKey, Subject, Timestamp};

/// The stream of leases.
const LEASE: &str = "cutover-lease";

/// A record, as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    /// The sequence that it was written after.
    pub(crate) expected: u64,
    pub(crate) record: LeaseRecord,
}

impl Stored {
    /// The epoch that it belongs to.
    pub(crate) fn epoch(&self) -> u64 {
        self.record.epoch.unwrap_or(self.sequence)
    }

    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.record.holder.as_ref().is_some_and(|holder| holder.starts_with(name))
    }
}

/// Keeps every record from now on, not the last alone.
pub(crate) async fn keep_all(client: &async_nats::Client) {
    let jetstream = jetstream::new(client.clone());
    let config = stream(client).await.cached_info().config.clone();
    let config = jetstream::stream::Config { max_messages_per_subject: -1, ..config };
    jetstream.update_stream(config).await.unwrap();
}

/// The records of a service's sweep, in order.
pub(crate) async fn history(client: &async_nats::Client, key: &ServiceKey) -> Vec<Stored> {
    let (stream, subject) = (stream(client).await, Subject::lease_of(Duty::Sweep, key));
    let mut records = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        if message.subject.as_str() != subject {
            continue;
        }
        let millis = message.time.unix_timestamp_nanos() / 1_000_000;
        records.push(Stored {
            sequence,
            at: Timestamp(millis.try_into().unwrap()),
            expected: message
                .headers
                .get("Nats-Expected-Last-Subject-Sequence")
                .unwrap()
                .as_str()
                .parse()
                .unwrap(),
            record: serde_json::from_slice(&message.payload).unwrap(),
        });
    }
    records
}

/// The last record of a service's sweep.
pub(crate) async fn last(client: &async_nats::Client, key: &ServiceKey) -> Option<Stored> {
    history(client, key).await.pop()
}

/// Checks that one at a time held the lease: each record was written after the one before; who takes it makes a new epoch,
/// and does so only if it was given back, or was not renewed for a lease time. Says how often it was taken.
pub(crate) fn check(history: &[Stored], lasts: Duration) -> usize {
    let (mut before, mut epochs) = (None::<&Stored>, HashSet::new());
    for stored in history {
        let LeaseRecord { holder, epoch } = &stored.record;
        assert_eq!(stored.expected, before.map_or(0, |before| before.sequence), "{stored:?}");
        match (before, epoch) {
            (None, None) => {}
            (Some(before), None) => {
                let stood = stored.at.since(before.at);
                assert!(before.record.holder.is_none() || stood >= lasts, "{stored:?} after {before:?}");
                assert!(holder.is_some(), "{stored:?}");
            }
            (Some(before), Some(epoch)) => {
                assert_eq!(before.epoch(), *epoch, "{stored:?} after {before:?}");
                let is_renewed = *holder == before.record.holder;
                assert!(before.record.holder.is_some() && (is_renewed || holder.is_none()), "{stored:?}");
            }
            (None, Some(_)) => panic!("{stored:?} is the first"),
        }
        epochs.insert(stored.epoch());
        before = Some(stored);
    }
    epochs.len()
}

async fn stream(client: &async_nats::Client) -> Stream {
    jetstream::new(client.clone()).get_stream(LEASE).await.unwrap()
}
