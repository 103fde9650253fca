//! Whom the judge of a canary asks beside the proxies.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Reference, Span};

/// A metrics server and other judges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judges {
    /// From one question to the next.
    pub every: Span,
    /// What answers expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsServer>,
    /// What answers with judgements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
}

/// A server that speaks the HTTP API of Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsServer {
    /// What `/api/v1/query` is put behind.
    pub url: String,
    /// What lets one in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
}

/// How one proves who one is (RFC 7617, RFC 6750).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Login {
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// Where the password is.
        password: Reference,
    },
    /// A token.
    Bearer(Reference),
}

/// Somebody who judges by whatever he likes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The name of the query that it answers.
    pub query: String,
    /// Where it is asked.
    pub url: String,
    /// Where the key is that requests are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Reference>,
}

/// What an expression may say of the version that it is asked of.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The service.
    pub service: &'a str,
    /// The destination.
    pub destination: &'a str,
    /// The release's name.
    pub version: &'a str,
    /// The release's id.
    pub release: &'a str,
    /// The deployment that booted it.
    pub deployment: &'a str,
}

/// An expression that asks for something that isn't known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPlaceholder(pub String);

impl Names<'_> {
    const KEYS: [&'static str; 5] = ["service", "destination", "version", "release", "deployment"];
    /// Those that two versions differ in.
    const OWN: [&'static str; 3] = ["version", "release", "deployment"];

    fn get(&self, key: &str) -> Option<&str> {
        Some(match key {
            "service" => self.service,
            "destination" => self.destination,
            "version" => self.version,
            "release" => self.release,
            "deployment" => self.deployment,
            _ => return None,
        })
    }

    /// The expression with what stands in `{{…}}` filled in, as it must be within a string of PromQL, which is one of Go's:
    /// quotes and backslashes stay what they are.
    ///
    /// # Errors
    /// What isn't known.
    pub fn fill(&self, expression: &str) -> Result<String, UnknownPlaceholder> {
        let mut filled = String::with_capacity(expression.len());
        for part in parts(expression) {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Placeholder(key) => {
                    let value = self.get(key).ok_or_else(|| UnknownPlaceholder(key.to_owned()))?;
                    for letter in value.chars() {
                        if matches!(letter, '"' | '\'' | '\\') {
                            filled.push('\\');
                        }
                        filled.push(letter);
                    }
                }
            }
        }
        Ok(filled)
    }

    /// Whether an expression asks only for what is known, and whether it asks the new version for something else than the old one.
    ///
    /// # Errors
    /// What isn't known.
    pub fn check(expression: &str) -> Result<bool, UnknownPlaceholder> {
        let mut differs = false;
        for part in parts(expression) {
            if let Part::Placeholder(key) = part {
                if !Self::KEYS.contains(&key) {
                    return Err(UnknownPlaceholder(key.to_owned()));
                }
                differs |= Self::OWN.contains(&key);
            }
        }
        Ok(differs)
    }
}

impl fmt::Display for UnknownPlaceholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing is known as '{{{{{}}}}}': one of {}", self.0, Names::KEYS.join(", "))
    }
}

impl std::error::Error for UnknownPlaceholder {}

enum Part<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// The parts of an expression. Braces that nothing closes are text: the server says what it thinks of them.
fn parts(expression: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = expression;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let opened = rest.find("{{");
        if opened == Some(0)
            && let Some(closed) = rest.find("}}")
        {
            let key = rest.get(2..closed).unwrap_or_default().trim();
            rest = rest.get(closed + 2..).unwrap_or_default();
            return Some(Part::Placeholder(key));
        }
        let end = match opened {
            Some(0) => rest.len(),
            Some(opened) => opened,
            None => rest.len(),
        };
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Part::Text(text))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names {
        service: "hello",
        destination: "production",
        version: r#"v"1\"#,
        release: "r1",
        deployment: "d1",
    };

    #[test]
    fn names_are_filled_in_and_cant_leave_their_string() {
        let filled =
            NAMES.fill(r#"rate(errors{service="{{service}}", version="{{ version }}"}[1m])"#).unwrap();
        assert_eq!(filled, r#"rate(errors{service="hello", version="v\"1\\"}[1m])"#);
        assert_eq!(NAMES.fill("up").unwrap(), "up");
        assert_eq!(NAMES.fill("a{{b").unwrap(), "a{{b");
        assert_eq!(NAMES.fill("}}a{{release}}").unwrap(), "}}ar1");
    }

    #[test]
    fn what_isnt_known_is_told() {
        let unknown = NAMES.fill("{{pod}}").unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "nothing is known as '{{pod}}': one of service, destination, version, release, deployment"
        );
        assert_eq!(Names::check("{{ pod }}"), Err(UnknownPlaceholder("pod".into())));
        assert_eq!(Names::check("up{s=\"{{service}}\"}"), Ok(false));
        assert_eq!(Names::check("up{s=\"{{deployment}}\"}"), Ok(true));
    }
}
