//! Build and container output: beside the journal, in no one's way.

use async_nats::jetstream::consumer::{DeliverPolicy, push};
use cutover_core::{DeploymentId, ServiceKey, Subject, Task, Timestamp};
use futures_util::StreamExt;

use crate::bus::OUTPUT;
use crate::{Error, Journal};

/// A line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// The task that it belongs to.
    pub task: Task,
    /// When it was written.
    pub at: Timestamp,
    /// The line, without its end.
    pub line: String,
}

/// The output of a deployment, in the order that it came in.
pub struct OutputLines {
    lines: push::Ordered,
    left: u64,
    follow: bool,
}

impl Journal {
    /// The output of a deployment: what there is, and, if it is followed, what comes.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn output(
        &self,
        key: &ServiceKey,
        deployment: &DeploymentId,
        follow: bool,
    ) -> Result<OutputLines, Error> {
        let config = push::OrderedConfig {
            name: Some(format!("output-{}", self.bus().unique())),
            deliver_subject: self.bus().client.new_inbox(),
            filter_subject: Subject::outputs_of(key, deployment),
            deliver_policy: DeliverPolicy::All,
            ..push::OrderedConfig::default()
        };
        let failed = |message: String| Error::Request { doing: "reading output", message };
        let consumer = self
            .bus()
            .jetstream
            .create_consumer_on_stream(config, OUTPUT)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let left = consumer.cached_info().num_pending;
        let lines = consumer.messages().await.map_err(|error| failed(error.to_string()))?;
        Ok(OutputLines { lines, left, follow })
    }
}

impl OutputLines {
    /// The next line; none once there are no more and they aren't followed.
    pub async fn next(&mut self) -> Option<OutputLine> {
        loop {
            if !self.follow && self.left == 0 {
                return None;
            }
            let message = self.lines.next().await?.ok()?;
            self.left = self.left.saturating_sub(1);
            let Some(task) = Subject::output_task(&message.subject) else { continue };
            let nanos = message.info().map(|info| info.published.unix_timestamp_nanos()).unwrap_or_default();
            return Some(OutputLine {
                task,
                at: Timestamp(u64::try_from(nanos / 1_000_000).unwrap_or_default()),
                line: String::from_utf8_lossy(&message.payload).into_owned(),
            });
        }
    }
}
