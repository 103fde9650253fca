//! A hook: what becomes of a delivery to one source. It asks nobody and knows no clock.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use cutover_core::{Digest, EventId, Request, SourceName, Timestamp};

use crate::Source;
use crate::delivery::Delivery;
use crate::event::{Event, Told};
use crate::rate::Rate;
use crate::refusal::Refusal;
use crate::signature::Key;

/// Hex digits of the body's digest that tell it from others.
const DIGITS: usize = 32;
/// The longest text of a header that is kept, in bytes.
const LONGEST: usize = 128;

/// The largest request that is published, in bytes: the bus takes 16 KiB (`cutover-trigger`), with the headers.
const LARGEST: usize = 15 << 10;

/// A source that is listened to.
pub(crate) struct Hook {
    name: SourceName,
    source: Source,
    key: Key,
    rate: Mutex<Rate>,
}

/// What a delivery leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// These are asked for.
    Requests(Vec<Request>),
    /// Nothing is, and why.
    Nothing(String),
}

impl Hook {
    pub(crate) fn new(name: SourceName, source: Source, key: Key, now: Instant) -> Self {
        let rate = Mutex::new(Rate::new(source.rate, now));
        Self { name, source, key, rate }
    }

    /// What a delivery leads to. Whoever doesn't know the secret uses up nothing of what the source may send.
    pub(crate) fn hear(
        &self,
        delivery: &Delivery<'_>,
        now: Timestamp,
        instant: Instant,
    ) -> Result<Heard, Refusal> {
        self.source.kind.authenticate(delivery, &self.key, now)?;
        if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(instant) {
            return Err(Refusal::TooMany(self.source.rate));
        }
        let events = match self.source.kind.read(delivery)? {
            Told::Events(events) => events,
            Told::Nothing(why) => return Ok(Heard::Nothing(why)),
        };
        let (mut requests, mut unwanted) = (Vec::new(), Vec::new());
        for (index, event) in events.into_iter().enumerate() {
            match self.source.filter.check(&event) {
                Ok(()) => requests.push(self.request(delivery, index, event, now)?),
                Err(why) => unwanted.push(why),
            }
        }
        Ok(if requests.is_empty() { Heard::Nothing(unwanted.join("; ")) } else { Heard::Requests(requests) })
    }

    /// The request for an event. What nobody vouches for doesn't tell it from others: with another header a delivery that was
    /// overheard would be another one. So it is told by its body, which a host sends again as it was.
    fn request(
        &self,
        delivery: &Delivery<'_>,
        index: usize,
        event: Event,
        now: Timestamp,
    ) -> Result<Request, Refusal> {
        let of_the_body = || {
            let digest = Digest::of(delivery.body);
            let digits = digest.hex().split_at(DIGITS).0;
            let id = if index == 0 { digits.to_owned() } else { format!("{digits}.{index}") };
            id.parse::<EventId>().map_err(|error| Refusal::Body(error.to_string()))
        };
        let is_text = |text: &&str| text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        let name = self.source.kind.delivery_header().and_then(|name| delivery.header(name)).filter(is_text);
        let request = Request {
            source: self.name.clone(),
            event: event.id.map_or_else(of_the_body, Ok)?,
            delivery: name.map(str::to_owned),
            at: now,
            key: self.source.key.clone(),
            policy: self.source.policy,
            occasion: event.occasion,
        };
        let size = serde_json::to_vec(&request).map_or(usize::MAX, |content| content.len());
        if size > LARGEST {
            return Err(Refusal::Body(format!(
                "what is asked for has {size} bytes, more than {LARGEST}: its names are too long"
            )));
        }
        Ok(request)
    }
}
