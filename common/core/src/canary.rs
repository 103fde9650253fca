//! A canary: the new replicas get a share of the traffic, step by step, before they get all of it.

use std::fmt;

use cutover_verdict::Terms;
use serde::{Deserialize, Serialize};

use crate::{Judges, Span, Synthetic};

/// How the new replicas get their share. The last step is none of these: a switch gives them all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// One after the other; none: there is no canary.
    pub steps: Vec<CanaryStep>,
    /// Whether who was sent to one of the two versions stays there, by a cookie; as the share rises, clients only ever move
    /// to the new one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sticky: bool,
    /// What marks the requests that get the new version whatever its share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choose: Option<Choice>,
    /// By what the new version is judged beside the old one; none: by the measure of the soak alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Terms>,
    /// Whom its queries are put to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judges: Option<Judges>,
    /// What is sent to both versions where clients send too little to judge by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<Box<Synthetic>>,
}

/// A share, and how long it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryStep {
    /// Of the new requests, in thousandths: below 1,000 where it is so on all hosts, as that is a switch.
    pub weight: u16,
    /// On how many hosts, the first of the destination; none: on all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u16>,
    /// Of the requests that the old version answers, how many the new one gets too, in thousandths. Nobody sees its answers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mirror: u16,
    /// Until when.
    pub hold: Hold,
}

/// How long a step holds. Whichever it is, a promotion ends it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// For that time.
    For(Span),
    /// Until somebody promotes it.
    Promoted,
}

/// What marks the requests of those who test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// A header field with this value.
    Header {
        /// Its name, compared without case.
        name: String,
        /// Its value, compared as it is.
        value: String,
    },
    /// A cookie with this value.
    Cookie {
        /// Its name, compared as it is.
        name: String,
        /// Its value, compared as it is.
        value: String,
    },
}

/// A decision that a canary needn't hold any longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Who decided it.
    pub by: String,
    /// The step that it ends, from 0; none: all of them.
    pub step: Option<u32>,
}

impl Canary {
    /// Whether there is none.
    pub fn is_absent(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a worker that knows protocol 6 of the journal would give it to other hosts, or act where it is only to look.
    pub(crate) fn needs_protocol_7(&self) -> bool {
        self.steps.iter().any(|step| step.hosts.is_some())
            || self.synthetic.is_some()
            || self.verdict.as_ref().is_some_and(|terms| terms.dry_run || !terms.queries.is_empty())
    }
}

impl CanaryStep {
    /// Whether the old version gets requests beside the new one, by which that could be judged.
    pub fn is_beside(&self) -> bool {
        (1..1000).contains(&self.weight)
    }
}

impl Promotion {
    /// Whether it ends this step.
    pub fn ends(&self, step: u32) -> bool {
        self.step.is_none_or(|ended| ended >= step)
    }
}

impl fmt::Display for CanaryStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Thousandths(self.weight))?;
        match self.hosts {
            Some(1) => f.write_str(" on one host")?,
            Some(hosts) => write!(f, " on {hosts} hosts")?,
            None => {}
        }
        if self.mirror > 0 {
            write!(f, ", mirrored {}", Thousandths(self.mirror))?;
        }
        match self.hold {
            Hold::For(span) => write!(f, " for {span}"),
            Hold::Promoted => f.write_str(" until `cutover promote`"),
        }
    }
}

/// Thousandths, as people write them.
pub(crate) struct Thousandths(pub(crate) u16);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "{whole} %"),
            (whole, rest) => write!(f, "{whole}.{rest} %"),
        }
    }
}

fn is_zero(share: &u16) -> bool {
    *share == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_step_reads_as_it_is_written() {
        let step = |weight, mirror, hold| CanaryStep { weight, mirror, hold, hosts: None }.to_string();
        assert_eq!(step(50, 0, Hold::For(Span::seconds(120))), "5 % for 2m");
        assert_eq!(step(0, 255, Hold::Promoted), "0 %, mirrored 25.5 % until `cutover promote`");
        let on = |hosts| CanaryStep { weight: 1000, mirror: 0, hosts: Some(hosts), hold: Hold::Promoted };
        assert_eq!(on(1).to_string(), "100 % on one host until `cutover promote`");
        assert_eq!(on(3).to_string(), "100 % on 3 hosts until `cutover promote`");
    }

    #[test]
    fn a_promotion_ends_its_step_and_those_before() {
        let of = |step| Promotion { by: "anna".into(), step };
        assert!(of(Some(1)).ends(0) && of(Some(1)).ends(1) && !of(Some(1)).ends(2));
        assert!(of(None).ends(7));
    }

    #[test]
    fn a_canary_is_written_and_read_back() {
        let choose = Some(Choice::Header { name: "X-Canary".into(), value: "yes".into() });
        let step = CanaryStep { weight: 50, mirror: 0, hosts: None, hold: Hold::Promoted };
        let canary = Canary { steps: vec![step], sticky: true, choose, ..Canary::default() };
        let text = serde_json::to_string(&canary).unwrap();
        assert_eq!(
            text,
            r#"{"steps":[{"weight":50,"hold":"promoted"}],"sticky":true,"choose":{"header":{"name":"X-Canary","value":"yes"}}}"#
        );
        assert_eq!(serde_json::from_str::<Canary>(&text).unwrap(), canary);
    }
}
