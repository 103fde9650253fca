//! The section `canary.verdict`: by what a new version is judged beside the old one.

use cutover_verdict::{
    Action, Condition, LatencyTerms, Margin, Policies, Policy, Proof, Ratio, Share, Terms,
};

use super::error::{Problem, Problems};
use super::judges::{metrics_server, queries};
use super::node::{Node, Value};
use super::probe::http_request;
use super::section::{Section, scalar};
use super::units::{flag, limit, whole};
use crate::{Judges, Span, Synthetic};

/// How long nobody is asked again.
const EVERY: Span = Span::seconds(15);

/// How many requests are to be there in a second where nothing else is said.
const RATE: u16 = 2;
/// For each of those that are sent.
const TIMEOUT: Span = Span::seconds(5);

/// By what, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// None: by the measure of the soak alone.
    pub(super) terms: Option<Terms>,
    pub(super) judges: Option<Judges>,
    pub(super) synthetic: Option<Synthetic>,
}

impl Default for Judged {
    fn default() -> Self {
        Self { terms: Some(usual()), judges: None, synthetic: None }
    }
}

/// What it means that a section stands there, or `false`, which is none.
pub(super) fn verdict(path: &str, node: &Node, problems: &mut Problems) -> Option<Judged> {
    if let Value::Text(_) = &node.value {
        let on = scalar(path, node, flag, problems)?;
        return Some(Judged { terms: on.then(usual), ..Judged::default() });
    }
    let mut section = Section::of(path.to_owned(), node, problems)?;
    let usual = usual();
    let failures = section.section("failures", problems).map(|margin| failures(margin, problems));
    let latency = match section.node("latency") {
        Some(node) if matches!(node.value, Value::Text(_)) => {
            let on = scalar(&section.path_of("latency"), node, flag, problems);
            on.and_then(|on| on.then(LatencyTerms::default))
        }
        Some(_) => section.section("latency", problems).map(|latency| self::latency(latency, problems)),
        None => usual.latency.clone(),
    };
    let synthetic = section.section("synthetic", problems).map(|part| synthetic(part, problems));
    let patience = section.value("patience", limit, problems).map(|span| span.0);
    let mut policy = |key, usual: Policy, problems: &mut Problems| Policy {
        patience: patience.unwrap_or(usual.patience),
        then: section.value(key, action, problems).unwrap_or(usual.then),
        ..usual
    };
    let no_traffic = policy("no_traffic", usual.policies.no_traffic, problems);
    let meanwhile = if synthetic.is_some() { Action::Drive } else { Action::Hold };
    let policies = Policies {
        no_traffic: Policy { meanwhile, ..no_traffic },
        inconclusive: policy("inconclusive", usual.policies.inconclusive, problems),
        metrics_down: policy("silent", usual.policies.metrics_down, problems),
    };
    let every = section.value("every", limit, problems).unwrap_or(EVERY);
    let metrics = section.section("prometheus", problems).and_then(|part| metrics_server(part, problems));
    let (queries, webhooks): (Vec<_>, Vec<_>) = section
        .section("queries", problems)
        .map(|part| queries(&part, metrics.is_some(), problems))
        .unwrap_or_default()
        .into_iter()
        .unzip();
    let webhooks: Vec<_> = webhooks.into_iter().flatten().collect();
    if metrics.is_some() && queries.iter().all(|query| query.condition == Condition::Judged) {
        let idle = Problem::new(&section.path_of("prometheus"), section.place, "nothing is asked of it");
        problems.add(idle.hint("name a query, as in `queries: {errors: {query: …, at_most: 0.5}}`"));
    }
    let judges = (!queries.is_empty()).then_some(Judges { every, metrics, webhooks });
    let terms = Terms {
        alpha: section.value("level", str::parse, problems).unwrap_or(usual.alpha),
        failures: failures.unwrap_or(usual.failures),
        latency,
        minimum: section.value("min_requests", whole(0..=u64::MAX), problems).unwrap_or(usual.minimum),
        proof: section.value("proof", proof, problems).unwrap_or(usual.proof),
        early: section.value("early", flag, problems).unwrap_or(usual.early),
        dry_run: section.value("dry_run", flag, problems).unwrap_or(usual.dry_run),
        synthetic: synthetic.is_some(),
        queries,
        policies,
        ..usual
    };
    let place = section.place;
    section.done(problems);
    if let Err(error) = terms.check() {
        problems.add(Problem::new(path, place, error.to_string()));
    }
    Some(Judged { terms: Some(terms), judges, synthetic })
}

/// What holds where nothing is said. Nobody sends requests on a canary's behalf.
pub(super) fn usual() -> Terms {
    let terms = Terms::default();
    let no_traffic = Policy { meanwhile: Action::Hold, ..terms.policies.no_traffic };
    Terms { policies: Policies { no_traffic, ..terms.policies }, ..terms }
}

fn synthetic(mut section: Section<'_>, problems: &mut Problems) -> Synthetic {
    let items = section.list("requests", problems).unwrap_or_default();
    if items.is_empty() {
        let nothing = Problem::new(&section.path_of("requests"), section.place, "nothing is to be sent");
        problems.add(nothing.hint("name paths, as in `requests: [/, /search?q=hello]`"));
    }
    let requests = items.into_iter().filter_map(|(path, node)| http_request(&path, node, problems)).collect();
    let synthetic = Synthetic {
        rate: section.value("rate", whole(1..=1000), problems).unwrap_or(RATE),
        timeout: section.value("timeout", limit, problems).unwrap_or(TIMEOUT),
        requests,
    };
    section.done(problems);
    synthetic
}

fn failures(mut section: Section<'_>, problems: &mut Problems) -> Margin {
    let usual = Terms::default().failures;
    let margin = Margin {
        ratio: section.value("ratio", str::parse::<Ratio>, problems).unwrap_or(usual.ratio),
        difference: section.value("difference", str::parse::<Share>, problems).unwrap_or(usual.difference),
    };
    section.done(problems);
    margin
}

fn latency(mut section: Section<'_>, problems: &mut Problems) -> LatencyTerms {
    let usual = LatencyTerms::default();
    let quantiles = section.scalars("quantiles", str::parse::<Share>, problems);
    let terms = LatencyTerms {
        tolerated: section.value("ratio", str::parse::<Ratio>, problems).unwrap_or(usual.tolerated),
        quantiles: quantiles.unwrap_or(usual.quantiles),
        ..usual
    };
    section.done(problems);
    terms
}

fn proof(text: &str) -> Result<Proof, String> {
    match text {
        "quiet" => Ok(Proof::Quiet),
        "bound" => Ok(Proof::Bound),
        other => Err(format!("'{other}' is no proof: one of quiet, bound")),
    }
}

fn action(text: &str) -> Result<Action, String> {
    match text {
        "hold" => Ok(Action::Hold),
        "proceed" => Ok(Action::Proceed),
        "back" => Ok(Action::GoBack),
        other => Err(format!("'{other}' can't be done then: one of hold, proceed, back")),
    }
}
