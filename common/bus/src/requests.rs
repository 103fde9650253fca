//! Requests for deployments: published by whoever takes in what comes from outside, in a stream of their own.

use async_nats::connection::State;
use cutover_core::Request;

use crate::append::{Appended, Message, store};
use crate::{Bus, Error};

/// What became of a request that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is stored.
    New,
    /// It was stored before, within the last week.
    Before,
}

impl Bus {
    /// Publishes a request; the server has stored it once this is `Ok`. The same one may be published again and again, and is one.
    ///
    /// # Errors
    /// [`Error::retryable`], where the bus is away, not set up or full; a user who may not ask.
    pub async fn ask(&self, request: &Request) -> Result<Asked, Error> {
        const DOING: &str = "publishing a request for a deployment";
        // Otherwise it would be waited for that the connection comes back, by somebody outside.
        if !self.is_connected() {
            return Err(Error::Unavailable {
                doing: DOING,
                description: "the connection is lost".to_owned(),
            });
        }
        match store(self, DOING, Message::new(request.subject(), &request.id(), request)?).await? {
            Appended::At(_) => Ok(Asked::New),
            _ => Ok(Asked::Before),
        }
    }

    /// Whether the connection stands, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }
}
