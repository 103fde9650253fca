//! The section `canary`: the steps in which the new replicas get their share.

use super::error::{Place, Problem, Problems};
use super::node::{Node, Value};
use super::section::{Section, scalar};
use super::units::{InvalidNumber, flag, percent, span, whole};
use super::verdict::{Judged, verdict};
use crate::canary::Thousandths;
use crate::{Canary, CanaryStep, Choice, Hold, Span};

/// The section as it stands in the file.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    place: Option<Place>,
    steps: Option<Vec<CanaryStep>>,
    sticky: Option<bool>,
    choose: Option<Choice>,
    verdict: Option<Judged>,
}

/// Reads the section.
pub(super) fn canary(mut section: Section<'_>, problems: &mut Problems) -> Wanted {
    let steps = section.list("steps", problems).map(|items| steps(&items, problems));
    let sticky = section.value("sticky", flag, problems);
    let header = section.section("header", problems).and_then(|pair| one(&pair, problems));
    let cookie = section.section("cookie", problems).and_then(|pair| one(&pair, problems));
    let choose = match (header, cookie) {
        (Some(_), Some(_)) => {
            let path = section.path_of("cookie");
            problems.add(Problem::new(&path, section.place, "there is a `header` already: one of both"));
            None
        }
        (Some((name, value)), None) => Some(Choice::Header { name, value }),
        (None, Some((name, value))) => Some(Choice::Cookie { name, value }),
        (None, None) => None,
    };
    let judged =
        section.node("verdict").and_then(|node| verdict(&section.path_of("verdict"), node, problems));
    let place = section.place;
    section.done(problems);
    Wanted { place, steps, sticky, choose, verdict: judged }
}

impl Wanted {
    /// This, and the other where it says nothing.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            place: self.place.or(under.place),
            steps: self.steps.or(under.steps),
            sticky: self.sticky.or(under.sticky),
            choose: self.choose.or(under.choose),
            verdict: self.verdict.or(under.verdict),
        }
    }

    /// What it means. With an empty list of steps there is no canary; with none at all nothing else that is said has a meaning.
    pub(super) fn resolved(self, problems: &mut Problems) -> Canary {
        if self.steps.is_none() && (self.sticky.is_some() || self.choose.is_some() || self.verdict.is_some())
        {
            let idle = Problem::new("canary", self.place, "it has no steps, so there is no canary");
            problems.add(
                idle.hint("name some, as in `steps: [{weight: 5%, hold: 2m}]`, or `steps: []` for none"),
            );
        }
        match self.steps {
            Some(steps) if !steps.is_empty() => {
                let Judged { terms: verdict, judges, synthetic } = self.verdict.unwrap_or_default();
                Canary {
                    steps,
                    sticky: self.sticky.unwrap_or_default(),
                    choose: self.choose,
                    verdict,
                    judges,
                    synthetic: synthetic.map(Box::new),
                }
            }
            _ => Canary::default(),
        }
    }
}

/// The steps. What one doesn't name is that of the one before: its share, what is mirrored, and on how many hosts.
fn steps(items: &[(String, &Node)], problems: &mut Problems) -> Vec<CanaryStep> {
    let mut before: Option<CanaryStep> = None;
    let mut step = |(path, node): &(String, &Node)| {
        let mut section = Section::of(path.clone(), node, problems)?;
        let (said, mirrored) =
            (section.value("weight", share, problems), section.value("mirror", share, problems));
        let on = section.value("hosts", hosts, problems);
        let held = section.value("hold", hold, problems);
        let paused = section.node("pause").and_then(|node| pause(&section.path_of("pause"), node, problems));
        let is_named = section.entries.iter().any(|entry| entry.key != "hold");
        section.done(problems);
        let mut wrong = |key: &str, message: String, hint: &str| {
            problems.add(Problem::new(&format!("{path}{key}"), Some(node.place), message).hint(hint));
        };
        let least = before.as_ref().map_or(0, |before| before.weight);
        let mirror = mirrored.or(before.as_ref().map(|before| before.mirror)).unwrap_or_default();
        // Some hosts and nothing else: all that these have.
        let whole = on.flatten().filter(|_| least == 0 && mirror == 0).map(|_| 1000);
        let weight = said.or(whole).unwrap_or(least);
        let were = before.as_ref().map(|before| before.hosts);
        let hosts = on.or(were).flatten();
        if weight < least {
            wrong(
                ".weight",
                format!("the share would fall from {} to {}", Thousandths(least), Thousandths(weight)),
                "steps go up: clients would be sent back to the old version",
            );
        }
        if weight == 1000 && hosts.is_none() || mirror == 1000 {
            wrong(
                ".weight",
                "all of the requests are no step: the switch comes after the last one by itself".to_owned(),
                "name fewer, or the `hosts` where it is so",
            );
        }
        let fell = were.is_some_and(|were| hosts.is_some_and(|now| were.is_none_or(|were| now < were)));
        if fell {
            wrong(
                ".hosts",
                "these are fewer hosts than those of the step before".to_owned(),
                "steps go up: clients would be sent back to the old version",
            );
        }
        if held.is_some() && paused.is_some() {
            wrong(".pause", "the step holds already".to_owned(), "leave out `hold` or `pause`");
        }
        if !is_named {
            wrong(
                "",
                "the step says nothing".to_owned(),
                "give it a `weight`, a `mirror`, `hosts` or a `pause`",
            );
        }
        let hold = held.or(paused).unwrap_or(Hold::For(Span::default()));
        let step = CanaryStep { weight, mirror, hosts, hold };
        before = Some(step.clone());
        Some(step)
    };
    items.iter().filter_map(&mut step).collect()
}

/// A share of the requests, in thousandths.
fn share(text: &str) -> Result<u16, String> {
    let share = percent(text).map_err(|error| error.to_string())?;
    u16::try_from(share).map_err(|error| error.to_string())
}

/// On how many hosts; none: on all.
fn hosts(text: &str) -> Result<Option<u16>, InvalidNumber> {
    if text == "all" { Ok(None) } else { whole(1..=1000)(text).map(Some) }
}

/// How long a step holds.
fn hold(text: &str) -> Result<Hold, InvalidNumber> {
    if text == "promoted" { Ok(Hold::Promoted) } else { span(text).map(Hold::For) }
}

/// A pause: nothing in it, `{}`, lasts until somebody promotes it.
fn pause(path: &str, node: &Node, problems: &mut Problems) -> Option<Hold> {
    match &node.value {
        Value::Map(entries) if entries.is_empty() => Some(Hold::Promoted),
        Value::Null => Some(Hold::Promoted),
        _ => scalar(path, node, span, problems).map(Hold::For),
    }
}

/// The name and the value of a section that has one of each.
fn one(section: &Section<'_>, problems: &mut Problems) -> Option<(String, String)> {
    match section.texts(problems).as_slice() {
        [(entry, value)] => {
            let name = is_token(&entry.key).then(|| (entry.key.clone(), (*value).to_owned()));
            if name.is_none() {
                let message = format!("'{}' can't be the name of one", entry.key);
                problems.add(Problem::new(&section.path, entry.place, message));
            }
            name
        }
        _ => {
            let wrong = Problem::new(&section.path, section.place, "expected one name with its value");
            problems.add(wrong.hint("as in {X-Canary: \"yes\"}"));
            None
        }
    }
}

/// Whether it may name a header field or a cookie (RFC 9110, section 5.6.2; RFC 6265, section 4.1.1).
fn is_token(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}
