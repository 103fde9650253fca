//! Requests for deployments: published by whoever takes in what comes from outside, in a stream of their own.

use std::sync::Arc;

use async_nats::connection::State;
use async_nats::jetstream::{self, AckKind};
use cutover_core::{Answer, Answered, Request, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::append::{Appended, Message, store};
use crate::bus::{REQUESTS, TRIGGER};
use crate::logs::Logs;
use crate::pull::Pull;
use crate::stored::{Stored, published};
use crate::{Bus, Error, Journal};

/// Requests as they are taken, one after the other, by all who take them together.
pub struct Requests {
    journal: Journal,
    pull: Pull,
}

/// A request that was taken, and is nobody else's for 8 s at a time.
pub struct TakenRequest {
    /// What is asked for.
    pub request: Request,
    /// When it was stored, by the server's clock.
    pub at: Timestamp,
    /// Its place among all requests.
    pub sequence: u64,
    journal: Journal,
    message: jetstream::Message,
}

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

impl Journal {
    /// Requests for deployments, from the first that nobody has answered.
    pub fn requests(&self) -> Requests {
        let logs = Arc::new(Logs::new(self.clone()));
        Requests { journal: self.clone(), pull: Pull::new(logs, TRIGGER, REQUESTS.to_owned()) }
    }

    /// What became of the requests of the last week, in the order in which they were answered.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn answers(&self) -> Result<Vec<(Timestamp, Answered)>, Error> {
        let (mut answers, mut from) = (Vec::new(), 1);
        loop {
            let part = Stored::part(self.bus(), TRIGGER, from, &Request::answers()).await?;
            let Some(last) = part.last() else { return Ok(answers) };
            from = last.sequence + 1;
            let read = |stored: &Stored| Some((stored.at, serde_json::from_slice(&stored.content).ok()?));
            answers.extend(part.iter().filter_map(read));
        }
    }
}

impl Requests {
    /// The next one; none once it is told to stop. A bus that is not there is waited for. What is no request is left out, and said.
    ///
    /// # Errors
    /// One that ends the program: the server has another journal.
    pub async fn next(&mut self, stop: &CancellationToken) -> Result<Option<TakenRequest>, Error> {
        while let Some(message) = self.pull.next(stop).await? {
            let read = serde_json::from_slice::<Request>(&message.payload);
            match read.ok().filter(|request| message.subject.as_str() == request.subject()) {
                Some(request) => {
                    let place = message.info().map(|info| (published(&info), info.stream_sequence));
                    let (at, sequence) = place.unwrap_or_default();
                    let journal = self.journal.clone();
                    return Ok(Some(TakenRequest { request, at, sequence, journal, message }));
                }
                None => {
                    tracing::error!(subject = %message.subject, "what is no request is left out");
                    if let Err(error) = message.ack_with(AckKind::Term).await {
                        tracing::debug!(%error, "it comes again");
                    }
                }
            }
        }
        Ok(None)
    }
}

impl TakenRequest {
    /// Keeps it for 8 s more. Where that fails it comes again, and is known then.
    pub async fn hold(&self) {
        if let Err(error) = self.message.ack_with(AckKind::Progress).await {
            tracing::debug!(%error, "a request is not held");
        }
    }

    /// What became of requests for the same service, from a place in the stream on, and where the next one may stand.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn answers(&self, mut from: u64) -> Result<(Vec<Answered>, u64), Error> {
        let (subject, mut answers) = (self.request.answer_subject(), Vec::new());
        loop {
            let part = Stored::part(self.journal.bus(), TRIGGER, from, &subject).await?;
            let Some(last) = part.last() else { return Ok((answers, from)) };
            from = last.sequence + 1;
            answers.extend(part.iter().filter_map(|stored| serde_json::from_slice(&stored.content).ok()));
        }
    }

    /// Writes down what has become of it, and only then is it over.
    ///
    /// # Errors
    /// A bus that doesn't answer: then it comes again.
    pub async fn answer(&self, answer: Answer) -> Result<(), Error> {
        const DOING: &str = "writing down what became of a request";
        let answered = Answered::new(&self.request, self.sequence, answer);
        let id = format!("{}/answer", answered.request);
        store(self.journal.bus(), DOING, Message::new(self.request.answer_subject(), &id, &answered)?)
            .await?;
        let over = self.message.double_ack().await;
        over.map_err(|error| Error::Request { doing: DOING, message: error.to_string() })
    }
}
