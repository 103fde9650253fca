//! Entries of the journal, and the subjects that they stand on.

use std::fmt;
use std::str::FromStr;

use crate::{
    Decision, DeploymentId, DestinationName, Duty, Fact, FactKind, HostName, ServiceKey, ServiceName, Stage,
    Task, Timestamp,
};

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its sequence: the order of the journal.
    pub sequence: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// What it says.
    pub event: Event,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A decision on the service.
    Decision(Decision),
    /// A fact of a task.
    Fact {
        /// Of which deployment.
        deployment: DeploymentId,
        /// Of which task.
        task: Task,
        /// The fact.
        fact: Fact,
    },
    /// A snapshot was written. Its content is for those who begin there; to a fold that has come this far it says nothing new.
    Snapshot,
}

/// A subject of the journal's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `cutover.log.<destination>.<service>.decisions`
    Decisions(ServiceKey),
    /// `cutover.log.<destination>.<service>.<deployment>.<stage>.<host>.<kind>`
    Fact {
        /// Of which service.
        key: ServiceKey,
        /// Of which deployment.
        deployment: DeploymentId,
        /// Of which task.
        task: Task,
        /// Which kind.
        kind: FactKind,
    },
    /// `cutover.state.<destination>.<service>`
    State(ServiceKey),
    /// `cutover.run.<stage>.<destination>.<service>`
    Run {
        /// The stage whose workers it is for.
        stage: Stage,
        /// Of which service.
        key: ServiceKey,
    },
}

/// The subjects of the journal's stream.
pub const STREAM_SUBJECTS: [&str; 3] = ["cutover.log.>", "cutover.state.>", "cutover.run.>"];

/// The token in the place of a host where a stage has one task in all.
const NO_HOST: &str = "_";

/// A subject that is none of the journal's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no subject of the journal")]
pub struct UnknownSubject(pub String);

/// An entry that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Its subject.
    #[error(transparent)]
    Subject(#[from] UnknownSubject),
    /// Its content.
    #[error("what stands on '{subject}' can't be read")]
    Content {
        /// The subject.
        subject: String,
        /// Why.
        source: serde_json::Error,
    },
    /// What it says is not what its subject says.
    #[error("what stands on '{0}' is of another kind")]
    Kind(String),
}

impl Subject {
    /// The subjects of all that belongs to a service's log, as a filter.
    pub fn log_of(key: &ServiceKey) -> String {
        format!("cutover.log.{}.{}.>", key.destination, key.service)
    }

    /// All facts of a task.
    pub fn facts_of(key: &ServiceKey, deployment: &DeploymentId, task: &Task) -> String {
        let host = host_token(task.host.as_ref());
        format!("cutover.log.{}.{}.{deployment}.{}.{host}.*", key.destination, key.service, task.stage)
    }

    /// The subjects of the work of one stage, as a filter.
    pub fn runs_of(stage: Stage) -> String {
        format!("cutover.run.{stage}.>")
    }

    /// The subjects of the work of one service, as a filter.
    pub fn runs_for(key: &ServiceKey) -> String {
        format!("cutover.run.*.{}.{}", key.destination, key.service)
    }

    /// The subject that the output of a task goes to. It is not part of the journal.
    pub fn output_of(key: &ServiceKey, deployment: &DeploymentId, task: &Task) -> String {
        format!(
            "cutover.output.{}.{}.{deployment}.{}.{}",
            key.destination,
            key.service,
            task.stage,
            host_token(task.host.as_ref())
        )
    }

    /// The subjects of all output of a deployment, as a filter.
    pub fn outputs_of(key: &ServiceKey, deployment: &DeploymentId) -> String {
        format!("cutover.output.{}.{}.{deployment}.>", key.destination, key.service)
    }

    /// The task that an output's subject names.
    pub fn output_task(subject: &str) -> Option<Task> {
        let mut tokens = subject.rsplit('.');
        let host = parse_host(tokens.next()?)?;
        Some(Task { stage: tokens.next()?.parse().ok()?, host })
    }

    /// The subject of a service's timer: one schedule, that says when somebody should look at it. Not part of the journal.
    pub fn timer_of(key: &ServiceKey) -> String {
        format!("cutover.timer.at.{}.{}", key.destination, key.service)
    }

    /// The subject on which a service's timer goes off.
    pub fn due_of(key: &ServiceKey) -> String {
        format!("cutover.timer.due.{}.{}", key.destination, key.service)
    }

    /// The service whose timer has gone off.
    pub fn due_key(subject: &str) -> Option<ServiceKey> {
        let tokens: Vec<&str> = subject.split('.').collect();
        let ["cutover", "timer", "due", destination, service] = tokens.as_slice() else { return None };
        parse_key(destination, service)
    }

    /// The subject of a lease's records. Not part of the journal.
    pub fn lease_of(duty: Duty, key: &ServiceKey) -> String {
        format!("cutover.lease.{duty}.{}.{}", key.destination, key.service)
    }

    /// The subject of what whoever does a duty notes of a service for the next one. Not part of the journal.
    pub fn note_of(duty: Duty, key: &ServiceKey) -> String {
        format!("{}.note", Self::lease_of(duty, key))
    }

    /// The service that it belongs to.
    pub const fn key(&self) -> &ServiceKey {
        match self {
            Self::Decisions(key) | Self::Fact { key, .. } | Self::State(key) | Self::Run { key, .. } => key,
        }
    }
}

impl Entry {
    /// Reads an entry of a service's log.
    ///
    /// # Errors
    /// An unknown subject, or content that can't be read or isn't what the subject says.
    pub fn decode(subject: &str, sequence: u64, at: Timestamp, content: &[u8]) -> Result<Self, DecodeError> {
        let unreadable = |source| DecodeError::Content { subject: subject.to_owned(), source };
        let event = match subject.parse()? {
            Subject::Decisions(_) => Event::Decision(serde_json::from_slice(content).map_err(unreadable)?),
            Subject::State(_) => Event::Snapshot,
            Subject::Fact { deployment, task, kind, .. } => {
                let fact: Fact = serde_json::from_slice(content).map_err(unreadable)?;
                if fact.kind() != kind {
                    return Err(DecodeError::Kind(subject.to_owned()));
                }
                Event::Fact { deployment, task, fact }
            }
            Subject::Run { .. } => return Err(UnknownSubject(subject.to_owned()).into()),
        };
        Ok(Self { sequence, at, event })
    }
}

/// A host as one token: names can hold no `_` and no `=`, so that the way back is unambiguous.
fn host_token(host: Option<&HostName>) -> String {
    host.map_or_else(|| NO_HOST.to_owned(), |host| host.as_str().replace('.', "_").replace(':', "="))
}

fn parse_host(token: &str) -> Option<Option<HostName>> {
    if token == NO_HOST {
        return Some(None);
    }
    token.replace('_', ".").replace('=', ":").parse().ok().map(Some)
}

fn parse_key(destination: &str, service: &str) -> Option<ServiceKey> {
    let destination: DestinationName = destination.parse().ok()?;
    let service: ServiceName = service.parse().ok()?;
    Some(ServiceKey { destination, service })
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decisions(key) => write!(f, "cutover.log.{}.{}.decisions", key.destination, key.service),
            Self::Fact { key, deployment, task, kind } => write!(
                f,
                "cutover.log.{}.{}.{deployment}.{}.{}.{}",
                key.destination,
                key.service,
                task.stage,
                host_token(task.host.as_ref()),
                kind.as_str()
            ),
            Self::State(key) => write!(f, "cutover.state.{}.{}", key.destination, key.service),
            Self::Run { stage, key } => write!(f, "cutover.run.{stage}.{}.{}", key.destination, key.service),
        }
    }
}

impl FromStr for Subject {
    type Err = UnknownSubject;

    fn from_str(text: &str) -> Result<Self, UnknownSubject> {
        let tokens: Vec<&str> = text.split('.').collect();
        let subject = match tokens.as_slice() {
            ["cutover", "log", destination, service, "decisions"] => {
                parse_key(destination, service).map(Self::Decisions)
            }
            ["cutover", "log", destination, service, deployment, stage, host, kind] => (|| {
                let task = Task { stage: stage.parse().ok()?, host: parse_host(host)? };
                let kind = FactKind::ALL.into_iter().find(|known| known.as_str() == *kind)?;
                Some(Self::Fact {
                    key: parse_key(destination, service)?,
                    deployment: deployment.parse().ok()?,
                    task,
                    kind,
                })
            })(),
            ["cutover", "state", destination, service] => parse_key(destination, service).map(Self::State),
            ["cutover", "run", stage, destination, service] => stage
                .parse()
                .ok()
                .zip(parse_key(destination, service))
                .map(|(stage, key)| Self::Run { stage, key }),
            _ => None,
        };
        subject.ok_or_else(|| UnknownSubject(text.to_owned()))
    }
}
