//! Timers: one for each service, that goes off when somebody should look at it again. They are schedules that the server
//! keeps (NATS ADR-51), so that no program has to wait. One that is lost or late is no harm: the sweep looks in any case.

use std::sync::Arc;

use cutover_core::{Subject, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::append::{Message, append};
use crate::bus::{TIMER, WAKE};
use crate::logs::Logs;
use crate::pull::Pull;
use crate::stored::{now, published};
use crate::{Error, Journal, ServiceLog};

impl Journal {
    /// Sets the timer of a service, in the place of the one that is set. A failure to do so fails nothing.
    pub(crate) async fn set_timer(&self, log: &ServiceLog, time: Timestamp) {
        if log.published().has_timer(time) {
            return;
        }
        let (timer, due) = (Subject::timer_of(log.key()), Subject::due_of(log.key()));
        let set = async {
            let message = Message::repeatable(timer, &time)?.scheduled(time, &due);
            append(self, "setting a timer", vec![message]).await
        };
        match set.await {
            Ok(_) => log.published().timer_is_set(time),
            Err(error) => tracing::warn!(service = %log.key(), %error, "a timer could not be set"),
        }
    }
}

/// Looks at each service whose timer goes off, until it is told to stop.
///
/// # Errors
/// [`Error::OtherJournal`].
pub(crate) async fn look_when_due(logs: Arc<Logs>, stop: CancellationToken) -> Result<(), Error> {
    let mut due = Pull::new(Arc::clone(&logs), TIMER, WAKE.to_owned());
    while let Some(message) = due.next(&stop).await? {
        if let Some(key) = Subject::due_key(&message.subject) {
            let gone_off = message.info().map(|info| published(&info)).unwrap_or_default();
            let looked = async {
                logs.read(&key).await?.published().timer_has_gone_off();
                // It went off by the server's clock: were this machine's behind, nothing would be due yet.
                logs.carry_out(&key, now().max(gone_off)).await
            };
            let looked = tokio::select! { looked = looked => looked, () = stop.cancelled() => break };
            if let Err(error) = looked {
                tracing::warn!(service = %key, %error, "what is due was not looked at: it comes again");
                continue;
            }
        }
        if let Err(error) = message.ack().await {
            tracing::debug!(%error, "a timer was not acknowledged: it comes again");
        }
    }
    Ok(())
}
