//! A source of requests: who it is, and what it may ask for.

use std::ops::RangeInclusive;

use cutover_core::tree::{Problem, Problems, Section};
use cutover_core::{DestinationName, InvalidReference, QueuePolicy, Reference, ServiceKey, ServiceName};

use crate::{Filter, Kind};

/// Deliveries a minute where nothing is said.
const RATE: u32 = 60;

/// A source of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How it signs and what it tells.
    pub kind: Kind,
    /// Where the secret is found that both know.
    pub secret: Reference,
    /// What it may have deployed, and where.
    pub key: ServiceKey,
    /// Which of its events are something to deploy for.
    pub filter: Filter,
    /// What becomes of its requests while a deployment runs.
    pub policy: QueuePolicy,
    /// Its deliveries a minute, at most.
    pub rate: u32,
}

/// A reference that isn't used here.
#[derive(Debug, thiserror::Error)]
enum InvalidSecret {
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    #[error(
        "no command is run here: write env://NAME, file:///path, vault://mount/path#key or aws-sm://name#key"
    )]
    Command,
}

/// A number that is too small, too large or none.
#[derive(Debug, thiserror::Error)]
#[error("'{text}' is not a whole number from {least} to {most}")]
pub(crate) struct InvalidNumber {
    text: String,
    least: u32,
    most: u32,
}

impl Source {
    pub(crate) fn of(mut section: Section<'_>, problems: &mut Problems) -> Option<Self> {
        let kind = section.required("kind", str::parse::<Kind>, problems);
        if let Some(node) = section.node("secret") {
            problems.hide(node);
        }
        let secret = section.required("secret", secret, problems);
        let service = section.required("service", str::parse::<ServiceName>, problems);
        let destination = section.required("destination", str::parse::<DestinationName>, problems);
        let policy = section.value("policy", str::parse::<QueuePolicy>, problems).unwrap_or_default();
        let rate = section.value("rate", number(1..=6000), problems).unwrap_or(RATE);
        // Which keys it may have depends on its kind: without that, each of them may be right.
        let filter = Filter::of(kind, &mut section, problems);
        section.done(problems);
        let key = ServiceKey { destination: destination?, service: service? };
        Some(Self { kind: kind?, secret: secret?, key, filter, policy, rate })
    }
}

fn secret(text: &str) -> Result<Reference, InvalidSecret> {
    match text.parse()? {
        Reference::Command(_) => Err(InvalidSecret::Command),
        reference => Ok(reference),
    }
}

/// A whole number in a range.
pub(crate) fn number(range: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, InvalidNumber> {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| InvalidNumber {
            text: text.to_owned(),
            least: *range.start(),
            most: *range.end(),
        })
    }
}

/// The texts of a list, each as it is read.
pub(crate) fn texts<T, E: std::fmt::Display>(
    section: &mut Section<'_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<T, E>,
    problems: &mut Problems,
) -> Vec<T> {
    let texts = section.scalars(key, read, problems);
    if section
        .node(key)
        .is_some_and(|node| matches!(&node.value, cutover_core::tree::Value::List(items) if items.is_empty()))
    {
        problems.add(
            Problem::new(&section.path_of(key), section.place, "there is nothing in it")
                .hint("leave the key out"),
        );
    }
    texts.unwrap_or_default()
}
