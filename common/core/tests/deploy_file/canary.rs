//! What a deploy file says of canaries.

use cutover_core::{Canary, CanaryStep, Choice, Hold, Span};

use cutover_verdict::{Action, Policy, Proof, Share};

use super::{parse, with};

fn step(weight: u16, mirror: u16, hold: Hold) -> CanaryStep {
    CanaryStep { weight, mirror, hold }
}

/// What the sample says.
pub fn sample() -> Canary {
    let held = |seconds| Hold::For(Span::seconds(seconds));
    let steps = vec![
        step(0, 100, held(60)),
        step(50, 0, held(120)),
        step(250, 0, held(0)),
        step(250, 0, Hold::Promoted),
        step(500, 0, Hold::Promoted),
    ];
    let choose = Some(Choice::Header { name: "X-Canary".into(), value: "yes".into() });
    // What it says of the verdict is the default.
    let verdict = with("canary: {steps: [{weight: 5%}]}").settings.canary.verdict;
    Canary { steps, sticky: true, choose, verdict }
}

#[test]
fn steps_are_read_in_their_order_and_keep_what_they_dont_say() {
    let canary = with(
        "canary:\n  steps:\n  - {mirror: 10%, hold: 5m}\n  - {weight: 2.5%, mirror: 0%, hold: 2m}\n  - {weight: 25%}\n  \
         - {pause: {}}\n  - {pause: 30s}\n  - {weight: 50%, hold: promoted}\n  sticky: true\n  header: {X-Canary: \"yes\"}",
    )
    .settings
    .canary;
    let held = |seconds| Hold::For(Span::seconds(seconds));
    let expected = [
        step(0, 100, held(300)),
        step(25, 0, held(120)),
        step(250, 0, held(0)),
        step(250, 0, Hold::Promoted),
        step(250, 0, held(30)),
        step(500, 0, Hold::Promoted),
    ];
    assert_eq!(canary.steps, expected);
    assert!(canary.sticky);
    assert_eq!(canary.choose, Some(Choice::Header { name: "X-Canary".into(), value: "yes".into() }));
    let canary = with("canary: {steps: [{weight: 5%}], cookie: {beta: on}}").settings.canary;
    assert_eq!(canary.choose, Some(Choice::Cookie { name: "beta".into(), value: "on".into() }));
    assert!(with("").settings.canary.is_absent() && with("canary: {steps: []}").settings.canary.is_absent());
}

#[test]
fn the_terms_of_the_verdict_are_read_and_may_be_none() {
    let terms = |verdict: &str| {
        with(&format!("canary: {{steps: [{{weight: 5%}}], verdict: {verdict}}}")).settings.canary.verdict
    };
    let usual = terms("true").unwrap();
    assert_eq!(terms("{}"), Some(usual.clone()));
    assert_eq!(terms("false"), None);
    let told = terms(
        "{level: 5%, failures: {difference: 0.5%}, latency: false, min_requests: 20, proof: bound, early: true, \
         inconclusive: back, silent: hold, patience: 1m}",
    )
    .unwrap();
    assert_eq!((told.alpha, told.failures.difference), (Share::percent(5), Share::millionths(5_000)));
    assert_eq!((told.latency, told.minimum, told.proof, told.early), (None, 20, Proof::Bound, true));
    let then = told.policies;
    assert_eq!((then.inconclusive.then, then.metrics_down.then), (Action::GoBack, Action::Hold));
    assert_eq!(then.no_traffic, Policy { patience: then.inconclusive.patience, ..usual.policies.no_traffic });
    assert_eq!(then.inconclusive.patience.as_secs(), 60);
    assert_eq!(terms("{latency: {ratio: 2, quantiles: [99%]}}").unwrap().latency.unwrap().quantiles.len(), 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let table = [
        ("steps: [{weight: 100%}]", "all of the requests are no step"),
        ("steps: [{weight: 25%, hold: 1m}, {weight: 5%}]", "the share would fall from 25 % to 5 %"),
        ("steps: [{weight: 5%, hold: 1m, pause: {}}]", "the step holds already"),
        ("steps: [{hold: 1m}]", "the step says nothing"),
        ("steps: [{weight: 5%, hold: soon}]", "soon"),
        ("steps: [5%]", "expected keys and values"),
        ("steps: [{weight: 5%}], header: {A: b}, cookie: {c: d}", "one of both"),
        ("steps: [{weight: 5%}], header: {}", "expected one name with its value"),
        ("steps: [{weight: 5%}], header: {\"a b\": c}", "can't be the name of one"),
        ("step: [{weight: 5%}]", "did you mean 'steps'?"),
        ("steps: [{weight: 5%}], verdict: {level: 60%}", "at most at 50 %"),
        ("steps: [{weight: 5%}], verdict: {proof: some}", "one of quiet, bound"),
        ("steps: [{weight: 5%}], verdict: {silent: shout}", "one of hold, proceed, back"),
        ("steps: [{weight: 5%}], verdict: {latency: {ratio: 0.5}}", "at least 1"),
        ("steps: [{weight: 5%}], verdict: maybe", "neither true nor false"),
    ];
    for (canary, expected) in table {
        let text =
            format!("service: hello\ncanary: {{{canary}}}\ndestinations: {{production: {{hosts: [a]}}}}");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{canary}: {error}");
    }
}
