//! What the replicas of a release are asked, and which answers are good ones. Pure: answers in, judgement out.

mod check;
mod http_check;
mod inference;
mod path;
mod predicate;
mod status_set;

use serde::{Deserialize, Serialize};

use crate::Span;

pub use check::{Check, GrpcCheck};
pub use http_check::{Body, HttpCheck, Method, Unmet};
pub use inference::{InferenceSpec, Latencies, TooSlow};
pub use predicate::{InvalidPredicate, Predicate};
pub use status_set::{InvalidStatusSet, StatusSet};

/// What a replica is asked, how often, and how many answers in a row decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// What is asked. It is written as the path alone where nothing else is said, so that the release's id is the one that it
    /// had when there was nothing else.
    #[serde(flatten)]
    pub check: Check,
    /// How long nothing is asked after the start.
    pub initial_delay: Span,
    /// The longest wait between two questions: before a replica serves, the first ones come faster, unless failures count.
    pub period: Span,
    /// The limit of one answer.
    pub timeout: Span,
    /// Good answers in a row that decide.
    pub successes: u32,
    /// Bad answers in a row that decide the other way. None: no number of them does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
}

impl ProbeSpec {
    /// `GET path` must answer 2xx, once, with the usual times.
    pub fn http(path: &str) -> Self {
        Self::new(Check::Http(HttpCheck::get(path).into()))
    }

    /// One good answer, with the usual times.
    pub const fn new(check: Check) -> Self {
        Self {
            check,
            initial_delay: Span::seconds(0),
            period: Span::seconds(1),
            timeout: Span::seconds(5),
            successes: 1,
            failures: None,
        }
    }

    /// Whether a worker of protocol 6 would ask something else.
    fn needs_protocol_7(&self) -> bool {
        self.failures.is_some() || !matches!(&self.check, Check::Http(http) if http.is_plain())
    }
}

/// The probes beside the one for readiness.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// What must have been answered well before anything else is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Box<ProbeSpec>>,
    /// What a replica answers as long as it lives: one that fails it is started anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Box<ProbeSpec>>,
    /// What a model must answer, and how soon, before its replica gets traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<Box<InferenceSpec>>,
}

impl Probes {
    /// Whether there are none.
    pub fn are_absent(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a worker of protocol 6 would leave out a part of them.
pub(crate) fn need_protocol_7(readiness: &ProbeSpec, others: &Probes) -> bool {
    !others.are_absent() || readiness.needs_protocol_7()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const BEFORE: &str = r#"{"path":"/up","initial_delay":"0s","period":"1s","timeout":"5s","successes":1}"#;

    #[test]
    fn a_probe_from_before_there_were_other_kinds_is_read_and_written_as_it_was() {
        let spec: ProbeSpec = serde_json::from_str(BEFORE).unwrap();
        assert_eq!(spec, ProbeSpec::http("/up"));
        assert_eq!(serde_json::to_string(&spec).unwrap(), BEFORE);
        assert!(!need_protocol_7(&spec, &Probes::default()));
    }

    #[test]
    fn every_kind_comes_back_as_it_was_written_and_needs_a_worker_that_knows_it() {
        let http = HttpCheck {
            method: Some(Method::Post),
            headers: BTreeMap::from([("accept".to_owned(), "application/json".to_owned())]),
            body: Some("{}".to_owned()),
            status: "200, 204".parse().unwrap(),
            contains: Some("ok".to_owned()),
            json: vec!["$.model.loaded == true".parse().unwrap()],
            ..HttpCheck::get("/up")
        };
        for check in [
            Check::Http(http.into()),
            Check::Tcp { port: None },
            Check::Tcp { port: Some(5432) },
            Check::Grpc(GrpcCheck { service: "embed.v1".to_owned(), port: Some(50_051) }),
            Check::Command(vec!["bin/ready".to_owned()]),
            Check::Image {},
        ] {
            let spec = ProbeSpec { failures: Some(3), ..ProbeSpec::new(check) };
            let written = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<ProbeSpec>(&written).unwrap(), spec, "{written}");
            assert!(need_protocol_7(&spec, &Probes::default()), "{written}");
        }
    }
}
