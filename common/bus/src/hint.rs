//! A work message: a hint that a task is due.

use std::time::Duration;

use async_nats::jetstream::Message;
use cutover_core::{Service, ServiceKey, Stage, Subject, Timestamp, Work};

use crate::stored::published;

/// How long one that came too early is put off at first.
const EARLY: Duration = Duration::from_millis(250);

/// Bytes of one: it names a task, and has some 200.
const SIZE_LIMIT: usize = 4 << 10;

/// What a work message says.
pub(crate) struct Hint {
    pub(crate) key: ServiceKey,
    pub(crate) work: Work,
    /// The message's sequence.
    pub(crate) sequence: u64,
    /// How often it was delivered, this time included.
    pub(crate) delivered: i64,
    /// When it was published, by the server's clock.
    published: Timestamp,
}

impl Hint {
    /// Reads what was delivered to a worker of a stage.
    pub(crate) fn read(delivery: &Message, stage: Stage) -> Result<Self, String> {
        let info = delivery.info().map_err(|error| error.to_string())?;
        if delivery.payload.len() > SIZE_LIMIT {
            return Err(format!("it has {} bytes, of at most {SIZE_LIMIT}", delivery.payload.len()));
        }
        let subject: Subject = delivery.subject.parse().map_err(|error| format!("{error}"))?;
        let work: Work = serde_json::from_slice(&delivery.payload).map_err(|error| error.to_string())?;
        if work.task.stage != stage {
            return Err(format!("it is for {}, on the subject of {stage}", work.task));
        }
        let (sequence, delivered) = (info.stream_sequence, info.delivered);
        let published = published(&info);
        Ok(Self { key: subject.key().clone(), work, sequence, delivered, published })
    }

    /// The time that the task's own times are compared with. A task of a deployment that runs was put off by its own backoff,
    /// and comes again after that by the server's clock, whatever this machine's says. What is owed may be due in hours, and
    /// was published once it was due: only a clock says so, the server's at the latest.
    pub(crate) fn now(&self, service: &Service, clock: Timestamp) -> Timestamp {
        let runs = service.running().is_some_and(|running| *running.id() == self.work.deployment);
        if runs && self.delivered > 1 { Timestamp(u64::MAX) } else { clock.max(self.published) }
    }

    /// How long it is put off when it came before its time: it was published together with an entry from which it seemed to
    /// follow, but others were stored in between. It isn't dropped, as the same work is not published twice.
    pub(crate) fn early(&self) -> Duration {
        EARLY * u32::try_from(self.delivered).unwrap_or(1).clamp(1, 8)
    }
}
