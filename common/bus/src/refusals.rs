//! What the server has refused. It says so beside the requests, which otherwise would wait for answers that never come.

use std::future::{Future, ready};
use std::pin::Pin;

use async_nats::{Event, ServerError};
use tokio::sync::broadcast;

/// The subjects on which this connection was refused to publish, as they are refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusals(broadcast::Sender<String>);

/// The refusals of some subjects.
pub(crate) struct RefusalsOf {
    subjects: Vec<String>,
    refused: broadcast::Receiver<String>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(broadcast::Sender::new(64))
    }
}

impl Refusals {
    /// What is to be called with each event of the connection.
    pub(crate) fn listener(
        &self,
    ) -> impl Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> + Send + Sync + 'static {
        let sender = self.0.clone();
        move |event| {
            if let Event::ServerError(ServerError::Other(said)) = &event {
                match refused_subject(said) {
                    // Nobody waits for it where nobody has asked.
                    Some(subject) => drop(sender.send(subject.to_owned())),
                    None => tracing::warn!(error = said, "the NATS server says"),
                }
            }
            Box::pin(ready(()))
        }
    }

    /// Those of some subjects, from now on.
    pub(crate) fn of(&self, subjects: impl Iterator<Item = String>) -> RefusalsOf {
        RefusalsOf { subjects: subjects.collect(), refused: self.0.subscribe() }
    }
}

impl RefusalsOf {
    /// The next subject that is refused. Never, where none is.
    pub(crate) async fn next(mut self) -> String {
        loop {
            match self.refused.recv().await {
                Ok(subject) if self.subjects.contains(&subject) => return subject,
                Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            }
        }
    }
}

/// The subject of `Permissions Violation for Publish to "subject"`.
fn refused_subject(said: &str) -> Option<&str> {
    let (_, subject) = said.split_once("Publish to \"")?;
    said.to_ascii_lowercase().starts_with("permissions violation").then(|| subject.trim_end_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::refused_subject;

    #[test]
    fn a_refusal_names_its_subject() {
        let said = "Permissions Violation for Publish to \"cutover.log.a.b.decisions\"";
        assert_eq!(refused_subject(said), Some("cutover.log.a.b.decisions"));
        assert_eq!(refused_subject("Permissions Violation for Subscription to \">\""), None);
    }
}
