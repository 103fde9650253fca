//! The connection for what comes with headers that others have written. The client library (async-nats 0.51) loses a connection over
//! some that it can't read, and ends over others (nats-io/nats.rs#1612); so nothing else goes over this one, and it is made anew.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::client::FlushErrorKind;
use async_nats::{Client, jetstream};

use crate::bus::{CONNECT_LIMIT, api_of, connect};
use crate::refusals::Refusals;
use crate::{Access, Error};

/// How long a connection that has ended is not made anew: whoever ends it again and again costs no more than that.
const AGAIN: Duration = Duration::from_millis(500);

/// Makes the connection when it is needed, and anew once it has ended.
#[derive(Debug)]
pub(crate) struct Listener {
    access: Access,
    name: String,
    refusals: Refusals,
    making: tokio::sync::Mutex<()>,
    lines: Mutex<Lines>,
}

/// What there was, and what there is.
#[derive(Debug, Default)]
struct Lines {
    now: Option<Line>,
    /// How many have ended.
    ended: u64,
    /// How often those had been connected.
    connects: u64,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    /// How many had ended before it.
    number: u64,
}

/// A connection among all that a listener makes, and among those that the client makes again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    line: u64,
    connects: u64,
}

impl Listener {
    pub(crate) fn new(access: &Access, name: &str, refusals: &Refusals) -> Self {
        let (access, name, refusals) = (access.clone(), name.to_owned(), refusals.clone());
        Self { access, name, refusals, making: tokio::sync::Mutex::default(), lines: Mutex::default() }
    }

    /// The connection that there is, or a new one.
    ///
    /// # Errors
    /// A server that isn't reached.
    pub(crate) async fn line(&self) -> Result<Line, Error> {
        let _making = self.making.lock().await;
        if let Some(line) = &self.lines().now {
            return Ok(line.clone());
        }
        let number = self.lines().ended;
        if number > 0 {
            tokio::time::sleep(AGAIN).await;
        }
        let client = connect(&self.access, &self.name, &self.refusals).await?;
        let jetstream = jetstream::with_prefix(client.clone(), api_of(&self.access));
        let line = Line { client, jetstream, number };
        self.lines().now = Some(line.clone());
        Ok(line)
    }

    /// Lets go of a connection on which something has failed, if it has ended. Says so once.
    pub(crate) async fn has_ended(&self, line: &Line) -> bool {
        if !is_deaf(&line.client).await {
            return false;
        }
        let mut lines = self.lines();
        let is_current = lines.now.as_ref().is_some_and(|now| now.number == line.number);
        if is_current {
            tracing::warn!(
                "a message that can't be read has ended the connection that it came by: another is made"
            );
            lines.connects += line.connects();
            (lines.now, lines.ended) = (None, lines.ended + 1);
        }
        is_current
    }

    /// How often it was connected: another number means that another server may be behind it.
    pub(crate) fn connects(&self) -> u64 {
        let lines = self.lines();
        lines.connects + lines.now.as_ref().map_or(0, Line::connects)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// How often this one was connected.
    pub(crate) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Which connection it is now.
    pub(crate) fn generation(&self) -> Generation {
        Generation { line: self.number, connects: self.connects() }
    }

    /// Waits until it has ended.
    pub(crate) async fn is_over(&self) {
        while !is_deaf(&self.client).await {
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Waits until what was asked for can't be answered any more: the connection was lost, be it that it is back.
    pub(crate) async fn is_lost(&self) {
        let before = self.connects();
        loop {
            tokio::time::sleep(AGAIN).await;
            if self.connects() != before || is_deaf(&self.client).await {
                return;
            }
        }
    }
}

/// Whether a client has ended.
pub(crate) async fn is_deaf(client: &Client) -> bool {
    // It waits for nothing where nobody takes what is to be sent.
    let flushed = tokio::time::timeout(CONNECT_LIMIT, client.flush()).await;
    matches!(flushed, Ok(Err(error)) if error.kind() == FlushErrorKind::SendError)
}
