//! Who may say what on the bus: one user for each program, one for whoever decides, one that only looks, and one that only asks.
//!
//! What a user may publish is enforced twice: by the server, by subject, and by whoever reads the journal, by the signature of
//! an entry. The server alone can't do it: it sends its answer to whatever subject a request names, without asking whether the
//! one who asks may publish there, and an answer may hold what that one has stored before. It even takes its own answer for a
//! request, where that subject is one of its API. So each user has an account of its own, which imports from the journal's what it
//! may ask for there: an answer stays in it, where a request to purge leads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::{Duty, Program, Request, Stage, Subject};

/// The stream of the journal: decisions, facts, snapshots and work.
pub const LOG_STREAM: &str = "cutover";
/// The stream of build and container output.
pub const OUTPUT_STREAM: &str = "cutover-output";
/// The stream of timers.
pub const TIMER_STREAM: &str = "cutover-timer";
/// The stream of leases and notes.
pub const LEASE_STREAM: &str = "cutover-lease";
/// The stream of requests for deployments.
pub const TRIGGER_STREAM: &str = "cutover-trigger";
/// The durable consumer of timers that have gone off, which all programs share.
pub const WAKE_CONSUMER: &str = "wake";
/// The durable consumer of requests for deployments, by which whoever decides takes them.
pub const REQUESTS_CONSUMER: &str = "requests";

/// What requests to JetStream begin with in the account of the journal.
const API: &str = "$JS.API";
/// The same in the other accounts: there the server keeps the first one for itself.
const IMPORTED_API: &str = "CUTOVER.API";
const STREAMS: [&str; 5] = [LOG_STREAM, OUTPUT_STREAM, TIMER_STREAM, LEASE_STREAM, TRIGGER_STREAM];

/// A user of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BusUser {
    /// Whoever decides: people who deploy. It also sets the journal up, writes snapshots and purges.
    Operator,
    /// Whoever only looks.
    Observer,
    /// Whoever takes in what comes from outside: it asks for deployments, and reads nothing.
    Trigger,
    /// A program: it writes the facts of its own stages.
    Program(Program),
}

/// A name that is no user's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no user of the bus: one of operator, observer, trigger, builder, shipper, migrator, prober, switcher"
)]
pub struct UnknownBusUser(String);

/// What the server lets a user do, as patterns of subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// What it may publish.
    pub publish: Vec<String>,
    /// What it may subscribe to.
    pub subscribe: Vec<String>,
    /// Whether it may answer what it was asked, wherever the answer is wanted.
    pub answers: bool,
}

impl Stage {
    /// The durable consumer that the workers of the stage share.
    pub fn consumer(self) -> String {
        format!("run-{self}")
    }
}

impl Duty {
    /// Every duty.
    pub const ALL: [Self; 4] = [Self::Sweep, Self::Certificates, Self::Collect, Self::Watch];

    /// Whether a program takes part in it.
    pub const fn is_of(self, program: Program) -> bool {
        match self {
            Self::Sweep => true,
            Self::Certificates => matches!(program, Program::Switcher),
            Self::Collect => matches!(program, Program::Builder),
            Self::Watch => matches!(program, Program::Prober),
        }
    }
}

impl Program {
    /// Where all instances of it are asked whether they are there (NATS ADR-32). Nobody else is asked there, so an answer is of one of
    /// them, whatever it says.
    pub fn asked_for_presence(self) -> String {
        format!("$SRV.PING.{}", self.binary())
    }

    /// Where all instances of it are asked whether they find secrets. No stream keeps it.
    pub fn asked_for_secrets(self) -> String {
        format!("cutover.ask.secrets.{self}")
    }
}

impl BusUser {
    /// Every user.
    pub const ALL: [Self; 8] = [
        Self::Operator,
        Self::Observer,
        Self::Trigger,
        Self::Program(Program::Builder),
        Self::Program(Program::Shipper),
        Self::Program(Program::Migrator),
        Self::Program(Program::Prober),
        Self::Program(Program::Switcher),
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Observer => "observer",
            Self::Trigger => "trigger",
            Self::Program(program) => program.as_str(),
        }
    }

    /// The server's account that it is in, alone. The operator's holds the streams.
    pub fn account(self) -> String {
        match self {
            Self::Operator => "JOURNAL".to_owned(),
            user => user.as_str().to_uppercase(),
        }
    }

    /// What its requests to JetStream begin with.
    pub const fn api_prefix(self) -> &'static str {
        match self {
            Self::Operator => API,
            Self::Observer | Self::Trigger | Self::Program(_) => IMPORTED_API,
        }
    }

    /// What the subjects begin with on which it gets its answers: nobody else may listen there.
    pub fn inbox(self) -> String {
        format!("_INBOX_{self}")
    }

    /// Whether anything in the journal is its, so that the journal has to know its key.
    pub const fn signs(self) -> bool {
        matches!(self, Self::Operator | Self::Program(_))
    }

    /// Whether an entry of the journal may be its.
    pub fn may_write(self, subject: &Subject) -> bool {
        match subject {
            Subject::Decisions(_) | Subject::State(_) => self == Self::Operator,
            Subject::Fact { task, .. } => self == Self::Program(task.stage.program()),
            Subject::Run { .. } => self.signs(),
        }
    }

    /// Whether what a lease or a note of a duty says may be its.
    pub const fn may_hold(self, duty: Duty) -> bool {
        match self {
            Self::Operator | Self::Observer | Self::Trigger => false,
            Self::Program(program) => duty.is_of(program),
        }
    }

    /// What the server is to let it do.
    pub fn permissions(self) -> Permissions {
        let asked = Self::ALL.into_iter().flat_map(|other| self.asks(other));
        let publish: BTreeSet<String> = asked.map(|subject| self.in_own_words(subject)).collect();
        let mut subscribe = vec![format!("{}.>", self.inbox())];
        if let Self::Program(program) = self {
            let service = program.binary();
            subscribe.extend([
                "$SRV.*".to_owned(),
                format!("$SRV.*.{service}"),
                format!("$SRV.*.{service}.*"),
                program.asked_for_secrets(),
            ]);
        }
        Permissions {
            publish: publish.into_iter().collect(),
            subscribe,
            answers: matches!(self, Self::Program(_)),
        }
    }

    /// What it publishes for the account of a user, be it its own, by the subjects that are listened to there.
    fn asks(self, other: Self) -> Vec<String> {
        match (self, other) {
            (user, Self::Operator) => {
                let own = match user {
                    Self::Operator => {
                        let read = [read_of(OUTPUT_STREAM), read_of(TRIGGER_STREAM)].concat();
                        let taken = taken_from(TRIGGER_STREAM, REQUESTS_CONSUMER);
                        [read, taken, administration()].concat()
                    }
                    Self::Observer => read_of(OUTPUT_STREAM),
                    Self::Trigger => return written_by(user),
                    Self::Program(program) => taken_by(program),
                };
                let identity = vec![format!("{API}.STREAM.INFO.{LOG_STREAM}")];
                [identity, read_of(LEASE_STREAM), read_of(LOG_STREAM), written_by(user), own].concat()
            }
            (Self::Operator, Self::Program(program)) => {
                vec![program.asked_for_presence(), program.asked_for_secrets()]
            }
            (Self::Observer, Self::Program(program)) => vec![program.asked_for_presence()],
            _ => Vec::new(),
        }
    }

    /// A subject of another account as it is called in its own.
    fn in_own_words(self, subject: String) -> String {
        match subject.strip_prefix(API) {
            Some(rest) => format!("{}{rest}", self.api_prefix()),
            None => subject,
        }
    }
}

/// What is written into the streams by a user: the subjects of [`BusUser::may_write`] and [`BusUser::may_hold`] as patterns.
fn written_by(user: BusUser) -> Vec<String> {
    let mut subjects = vec!["cutover.run.*.*.*".to_owned(), "cutover.timer.at.*.*".to_owned()];
    match user {
        BusUser::Operator => {
            subjects.extend(["cutover.log.*.*.decisions".to_owned(), "cutover.state.*.*".to_owned()]);
            subjects.push(Request::answers());
        }
        BusUser::Observer => subjects.clear(),
        BusUser::Trigger => subjects = vec![Request::subjects()],
        BusUser::Program(program) => {
            for stage in program.stages() {
                subjects.push(format!("cutover.log.*.*.*.{stage}.*.*"));
                subjects.push(format!("cutover.output.*.*.*.{stage}.*"));
            }
            for duty in Duty::ALL.into_iter().filter(|duty| duty.is_of(program)) {
                subjects.push(format!("cutover.lease.{duty}.*.*"));
                subjects.push(format!("cutover.lease.{duty}.*.*.note"));
            }
        }
    }
    subjects
}

/// What a program takes its work by. It makes no consumers: whoever makes one may have its messages delivered to any subject.
fn taken_by(program: Program) -> Vec<String> {
    let consumers = program.stages().map(|stage| (LOG_STREAM, stage.consumer()));
    let consumers = consumers.chain([(TIMER_STREAM, WAKE_CONSUMER.to_owned())]);
    // A message that can't be taken is looked at where it lies.
    let timers = format!("{API}.STREAM.MSG.GET.{TIMER_STREAM}");
    let taken = consumers.flat_map(|(stream, consumer)| taken_from(stream, &consumer));
    taken.chain([timers]).collect()
}

/// What is needed to take messages from a consumer.
fn taken_from(stream: &str, consumer: &str) -> Vec<String> {
    let asked = [
        format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
    ];
    asked.into_iter().chain(acknowledged(stream, consumer)).collect()
}

/// Where the server takes acknowledgements for a consumer, in either form: the second begins with its domain and the account (NATS
/// ADR-15). Each has its number of tokens, or one consumer's in the one form would be another's in the other.
fn acknowledged(stream: &str, consumer: &str) -> [String; 2] {
    [format!("$JS.ACK.{stream}.{consumer}.*.*.*.*.*"), format!("$JS.ACK.*.*.{stream}.{consumer}.*.*.*.*.>")]
}

/// Reading a stream: from its leader, and from any replica.
fn read_of(stream: &str) -> Vec<String> {
    vec![format!("{API}.STREAM.MSG.GET.{stream}"), format!("{API}.DIRECT.GET.{stream}")]
}

/// Whether one request on a subject has many answers.
fn has_many_answers(subject: &str) -> bool {
    ["$JS.API.DIRECT.GET.", "$SRV.PING.", "cutover.ask."].iter().any(|begin| subject.starts_with(begin))
}

/// Setting the journal up, and purging what nobody needs. No stream is deleted, and no single message.
fn administration() -> Vec<String> {
    let of_stream = |stream: &str| {
        [
            format!("$JS.API.STREAM.CREATE.{stream}"),
            format!("$JS.API.STREAM.UPDATE.{stream}"),
            format!("$JS.API.STREAM.INFO.{stream}"),
            format!("$JS.API.CONSUMER.INFO.{stream}.*"),
            format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
        ]
    };
    let purge = format!("$JS.API.STREAM.PURGE.{LOG_STREAM}");
    STREAMS.into_iter().flat_map(of_stream).chain([purge]).collect()
}

/// The `accounts` of a nats-server's configuration in which each user has this public key; whoever has none of them is
/// refused. A key may also be the name of a variable of the server's environment, with a `$` before it.
pub fn accounts(keys: &BTreeMap<BusUser, String>) -> String {
    let mut text = "accounts {\n".to_owned();
    for (user, key) in keys {
        let Permissions { publish, subscribe, answers } = user.permissions();
        text += &format!("  {} {{\n", user.account());
        if *user == BusUser::Operator {
            text += "    jetstream: enabled\n";
        }
        text += &format!(
            "    users: [\n      {{\n        nkey: {key}\n        permissions: {{\n          publish: [\n"
        );
        text += &lines(12, publish.iter().map(|subject| format!("\"{subject}\"")));
        text += "          ]\n          subscribe: [\n";
        text += &lines(12, subscribe.iter().map(|subject| format!("\"{subject}\"")));
        text += "          ]\n";
        if answers {
            text += "          allow_responses: { max: 1, expires: \"1m\" }\n";
        }
        text += "        }\n      }\n    ]\n";
        for (name, services) in [("exports", exports(*user)), ("imports", imports(*user))] {
            if !services.is_empty() {
                text += &format!("    {name}: [\n{}    ]\n", lines(6, services.into_iter()));
            }
        }
        text += "  }\n";
    }
    text + "}\n"
}

fn lines(indent: usize, lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| format!("{:indent$}{line}\n", "")).collect()
}

/// What others may ask for in the account of a user, and who.
fn exports(user: BusUser) -> Vec<String> {
    let mut exports: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for other in BusUser::ALL.into_iter().filter(|other| *other != user) {
        for subject in other.asks(user) {
            exports.entry(subject).or_default().push(other.account());
        }
    }
    let export = |(subject, accounts): (String, Vec<String>)| {
        let many = if has_many_answers(&subject) { " response_type: stream," } else { "" };
        format!("{{ service: \"{subject}\",{many} accounts: [{}] }}", accounts.join(", "))
    };
    exports.into_iter().map(export).collect()
}

/// What a user asks for in the accounts of others, and how that is called in its own.
fn imports(user: BusUser) -> Vec<String> {
    let mut imports = Vec::new();
    for other in BusUser::ALL.into_iter().filter(|other| *other != user) {
        for subject in user.asks(other) {
            let service = format!("service: {{ account: {}, subject: \"{subject}\" }}", other.account());
            let own = user.in_own_words(subject.clone());
            let to = if own == subject { String::new() } else { format!(", to: \"{own}\"") };
            imports.push(format!("{{ {service}{to} }}"));
        }
    }
    imports
}

/// Whether a subject is one of a pattern, as the server compares them.
pub fn is_within(subject: &str, pattern: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            (_, None) => return false,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

impl Permissions {
    /// Whether a user with these may publish on a subject.
    pub fn publishes(&self, subject: &str) -> bool {
        self.publish.iter().any(|pattern| is_within(subject, pattern))
    }
}

impl fmt::Display for BusUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for BusUser {
    type Err = UnknownBusUser;

    fn from_str(text: &str) -> Result<Self, UnknownBusUser> {
        let user = Self::ALL.into_iter().find(|user| user.as_str() == text);
        user.ok_or_else(|| UnknownBusUser(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
