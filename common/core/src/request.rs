//! A request for a deployment: what somebody outside has done, and what is to be deployed for it. It decides nothing. On the bus it
//! is a CloudEvent (1.0, structured JSON).

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{CommitId, DeploymentId, Digest, EventId, ServiceKey, SourceName, Timestamp};

/// The version of CloudEvents.
const SPECIFICATION: &str = "1.0";
/// What kind of event it is, by the rule for events that CDEvents has no type for.
const TYPE: &str = "dev.cdeventsx.cutover-deployment.requested.0.1.0";
const CONTENT: &str = "application/json";

/// A request for a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Envelope", into = "Envelope")]
pub struct Request {
    /// Whose it is.
    pub source: SourceName,
    /// Which of the source's events it is for. One of them is one request, however often it is told.
    pub event: EventId,
    /// What the source calls its delivery: for people who look it up there. Nothing vouches for it.
    pub delivery: Option<String>,
    /// When it was taken in, by the clock of whoever took it.
    pub at: Timestamp,
    /// What is to be deployed, and where.
    pub key: ServiceKey,
    /// What becomes of it while another deployment of the service runs.
    pub policy: QueuePolicy,
    /// What has changed.
    pub occasion: Occasion,
}

/// What has changed. Where anything is fetched from is for whoever carries the request out to know: addresses in here are information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// A branch or a tag is at another commit.
    Commit {
        /// The commit.
        id: CommitId,
        /// The branch or tag.
        of: Ref,
        /// Of which repository, as the source says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repository: Option<String>,
    },
    /// An image was pushed to a registry.
    Image {
        /// The repository of the registry, without the registry.
        repository: String,
        /// The image.
        digest: Digest,
        /// The tag that it has got.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
    },
    /// An object was written to a bucket: a model.
    Object {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// Which version of it, where the bucket keeps versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
}

/// A branch or a tag, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ref {
    /// A branch.
    Branch(String),
    /// A tag.
    Tag(String),
}

/// What becomes of a request while a deployment of its service runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueuePolicy {
    /// It waits, and so do those before it: one after the other.
    Queue,
    /// It waits, and takes the place of those before it that wait.
    #[default]
    Supersede,
    /// It is refused.
    Reject,
}

/// A word that is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not what becomes of a request: one of queue, supersede, reject")]
pub struct UnknownQueuePolicy(String);

/// An event that is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Another kind of event.
    #[error("'{0}' of CloudEvents {1} is no request for a deployment")]
    Type(String, String),
    /// Its source.
    #[error("'{0}' is no source of requests")]
    Source(String),
    /// Its time.
    #[error("'{0}' is no time (RFC 3339)")]
    Time(String),
}

/// The envelope (CloudEvents 1.0, JSON format).
#[derive(Clone, Serialize, Deserialize)]
struct Envelope {
    specversion: String,
    id: EventId,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    /// For people and filters; the data say it too.
    subject: String,
    time: String,
    datacontenttype: String,
    data: Data,
}

#[derive(Clone, Serialize, Deserialize)]
struct Data {
    #[serde(flatten)]
    key: ServiceKey,
    policy: QueuePolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivery: Option<String>,
    occasion: Occasion,
}

impl Request {
    /// What tells it from all others: the source's name and the event's id. It is the id of its message.
    pub fn id(&self) -> String {
        format!("{}/{}", self.source, self.event)
    }

    /// Where it is published.
    pub fn subject(&self) -> String {
        format!("cutover.trigger.{}.{}", self.key.destination, self.key.service)
    }

    /// All subjects of requests, as a pattern.
    pub fn subjects() -> String {
        "cutover.trigger.*.*".to_owned()
    }

    /// Where it is written down what became of it.
    pub fn answer_subject(&self) -> String {
        format!("{}.answer", self.subject())
    }

    /// All subjects of answers, as a pattern.
    pub fn answers() -> String {
        format!("{}.answer", Self::subjects())
    }

    /// Whose deployment it is, as the journal has it.
    pub fn by(&self) -> String {
        let delivery = self.delivery.as_deref().unwrap_or(self.event.as_str());
        format!("trigger {}, delivery {delivery}", self.source)
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The request's id.
    pub request: String,
    /// What became of it.
    pub answer: Answer,
    /// Its place among all requests: the sequence at which it was stored. None of what an earlier version has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// The newest request of a service that has led to something: what was asked for before it is not carried out any more, as it would bring an
/// older state back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest(Option<(u64, String)>);

impl Answered {
    /// What became of a request that was stored at a sequence. A reason that is too long is cut off, as the bus wouldn't take it.
    pub fn new(request: &Request, sequence: u64, answer: Answer) -> Self {
        let answer = match answer {
            Answer::Refused(why) => Answer::Refused(beginning(why)),
            answer => answer,
        };
        Self { request: request.id(), answer, sequence: Some(sequence) }
    }
}

impl Newest {
    /// Takes an answer in.
    pub fn see(&mut self, answered: Answered) {
        let Answered { request, answer: Answer::Accepted(_) | Answer::Nothing, sequence: Some(sequence) } =
            answered
        else {
            return;
        };
        if self.0.as_ref().is_none_or(|(newest, _)| *newest < sequence) {
            self.0 = Some((sequence, request));
        }
    }

    /// The id of the later request that has taken the place of the one at a sequence.
    pub fn instead_of(&self, sequence: u64) -> Option<&str> {
        self.0.as_ref().filter(|(newest, _)| *newest > sequence).map(|(_, request)| request.as_str())
    }
}

/// The longest reason that is written down, in bytes.
const REASON: usize = 2000;

fn beginning(mut text: String) -> String {
    if text.len() > REASON {
        text.truncate(text.floor_char_boundary(REASON));
        text.push('…');
    }
    text
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It has led to a deployment, whose end the journal has.
    Accepted(DeploymentId),
    /// There was nothing to do: just that is live.
    Nothing,
    /// A later one, of this id, has taken its place.
    Superseded(String),
    /// It is not carried out, and why.
    Refused(String),
}

/// What is to be done about the requests of a service that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The one in this place is refused, as a deployment runs.
    Rejected(usize),
    /// The one in this place is carried out.
    CarryOut(usize),
    /// Nothing, until the deployment that runs has ended or another request comes.
    Wait,
}

impl Turn {
    /// What comes first, of requests with these policies, in the order in which they came; `is_running`: a deployment of the service runs.
    /// The newest of those that supersede comes before the others of them, which stay until it was accepted: if it is refused,
    /// the one before has its turn.
    pub fn of(waiting: &[QueuePolicy], is_running: bool) -> Self {
        if is_running {
            let rejected = waiting.iter().position(|policy| *policy == QueuePolicy::Reject);
            return rejected.map_or(Self::Wait, Self::Rejected);
        }
        let newest = waiting.iter().rposition(|policy| *policy == QueuePolicy::Supersede);
        let mut all = waiting.iter().enumerate();
        let first = all.find(|(index, policy)| **policy != QueuePolicy::Supersede || newest == Some(*index));
        first.map_or(Self::Wait, |(index, _)| Self::CarryOut(index))
    }
}

/// What the path of a source's hook begins with, which is also what names it in an event.
const HOOKS: &str = "/hooks/";

impl From<Request> for Envelope {
    fn from(request: Request) -> Self {
        let Request { source, event, delivery, at, key, policy, occasion } = request;
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(at.0);
        Self {
            specversion: SPECIFICATION.to_owned(),
            id: event,
            source: format!("{HOOKS}{source}"),
            kind: TYPE.to_owned(),
            subject: format!("{}/{}", key.destination, key.service),
            time: humantime::format_rfc3339_millis(time).to_string(),
            datacontenttype: CONTENT.to_owned(),
            data: Data { key, policy, delivery, occasion },
        }
    }
}

impl TryFrom<Envelope> for Request {
    type Error = InvalidRequest;

    fn try_from(envelope: Envelope) -> Result<Self, InvalidRequest> {
        let Envelope { specversion, id, source, kind, time, data, .. } = envelope;
        if specversion != SPECIFICATION || kind != TYPE {
            return Err(InvalidRequest::Type(kind, specversion));
        }
        let name = source.strip_prefix(HOOKS).and_then(|name| name.parse().ok());
        let since = humantime::parse_rfc3339(&time)
            .ok()
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let millis = since.and_then(|since| u64::try_from(since.as_millis()).ok());
        let Data { key, policy, delivery, occasion } = data;
        Ok(Self {
            source: name.ok_or(InvalidRequest::Source(source))?,
            event: id,
            delivery,
            at: Timestamp(millis.ok_or(InvalidRequest::Time(time))?),
            key,
            policy,
            occasion,
        })
    }
}

impl FromStr for QueuePolicy {
    type Err = UnknownQueuePolicy;

    fn from_str(text: &str) -> Result<Self, UnknownQueuePolicy> {
        match text {
            "queue" => Ok(Self::Queue),
            "supersede" => Ok(Self::Supersede),
            "reject" => Ok(Self::Reject),
            _ => Err(UnknownQueuePolicy(text.to_owned())),
        }
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { id, of: Ref::Branch(name), .. } => write!(f, "{id} of branch {name}"),
            Self::Commit { id, of: Ref::Tag(name), .. } => write!(f, "{id} of tag {name}"),
            Self::Image { repository, digest, .. } => write!(f, "{repository}@{digest}"),
            Self::Object { bucket, key, .. } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As it stands on the bus. One that was published must be read by whoever comes later.
    const PUBLISHED: &str = r#"{"specversion":"1.0","id":"72d3162e-cc78-11e3-81ab-4c9367dc0958","source":"/hooks/shop","type":"dev.cdeventsx.cutover-deployment.requested.0.1.0","subject":"production/shop","time":"2026-11-28T09:00:00.250Z","datacontenttype":"application/json","data":{"destination":"production","service":"shop","policy":"supersede","occasion":{"commit":{"id":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","of":{"branch":"main"},"repository":"https://git.example.com/shop"}}}}"#;

    #[test]
    fn a_request_is_a_cloud_event_and_reads_back() {
        let request: Request = serde_json::from_str(PUBLISHED).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), PUBLISHED);
        assert_eq!(request.id(), "shop/72d3162e-cc78-11e3-81ab-4c9367dc0958");
        assert_eq!(request.subject(), "cutover.trigger.production.shop");
        assert_eq!(request.occasion.to_string(), "6113728f27ae82c7b1a177c8d03f9e96e0adf246 of branch main");
    }

    #[test]
    fn of_a_burst_the_newest_is_carried_out_the_others_wait_or_are_refused() {
        use QueuePolicy::{Queue, Reject, Supersede};
        for (waiting, is_running, turn) in [
            (&[][..], false, Turn::Wait),
            (&[Queue, Queue], false, Turn::CarryOut(0)),
            (&[Queue, Queue], true, Turn::Wait),
            (&[Supersede], true, Turn::Wait),
            (&[Supersede, Queue, Supersede, Supersede], true, Turn::Wait),
            (&[Supersede, Queue, Supersede, Supersede], false, Turn::CarryOut(1)),
            (&[Supersede, Supersede, Supersede, Queue], false, Turn::CarryOut(2)),
            (&[Queue, Supersede, Supersede], false, Turn::CarryOut(0)),
            (&[Queue, Supersede], false, Turn::CarryOut(0)),
            (&[Queue, Reject], true, Turn::Rejected(1)),
            (&[Reject, Reject], false, Turn::CarryOut(0)),
        ] {
            assert_eq!(Turn::of(waiting, is_running), turn, "{waiting:?} {is_running}");
        }
    }

    #[test]
    fn what_came_before_the_newest_that_was_accepted_gives_way() {
        let request: Request = serde_json::from_str(PUBLISHED).unwrap();
        let mut newest = Newest::default();
        assert_eq!(newest.instead_of(0), None);
        for (sequence, answer) in [
            (5, Answer::Nothing),
            (3, Answer::Nothing),
            (8, Answer::Refused("no".to_owned())),
            (9, Answer::Superseded("shop/1".to_owned())),
        ] {
            newest.see(Answered::new(&request, sequence, answer));
        }
        // As an earlier version wrote it.
        newest.see(serde_json::from_str(r#"{"request":"shop/0","answer":"nothing"}"#).unwrap());
        let id = request.id();
        assert_eq!([4, 5, 6].map(|sequence| newest.instead_of(sequence)), [Some(id.as_str()), None, None]);
    }

    #[test]
    fn a_reason_without_end_is_cut_off() {
        let request: Request = serde_json::from_str(PUBLISHED).unwrap();
        for why in ["no".to_owned(), "ö".repeat(20_000), format!("a{}", "ö".repeat(20_000))] {
            let answered = Answered::new(&request, 1, Answer::Refused(why.clone()));
            let Answer::Refused(said) = answered.answer else { unreachable!() };
            assert!(said.len() < 2010 && why.starts_with(said.trim_end_matches('…')), "{}", said.len());
            assert_eq!(said == why, why.len() < 2000);
        }
    }

    #[test]
    fn what_is_no_request_is_none() {
        for (what, instead) in [
            ("\"1.0\"", "\"0.3\""),
            ("deployment.requested", "deployment.aborted"),
            ("/hooks/shop", "/hooks/../shop"),
            ("2026-11-28T09", "1926-11-28T09"),
            ("\"production\"", "\"production.*\""),
            ("6113728f", "--upload"),
            ("supersede", "now"),
            ("72d3162e-", "72d3162e\\n"),
        ] {
            assert!(PUBLISHED.contains(what), "{what}");
            let text = PUBLISHED.replace(what, instead);
            assert!(serde_json::from_str::<Request>(&text).is_err(), "{text}");
        }
    }
}
