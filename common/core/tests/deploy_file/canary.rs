//! What a deploy file says of canaries.

use cutover_core::{
    Canary, CanaryStep, Choice, Hold, HttpCheck, Judges, Login, MetricsServer, Plan, Release, Source, Span,
    Synthetic, Webhook,
};
use cutover_verdict::{Action, Condition, Limit, Policies, Policy, Proof, Query, Ratio, Share, Terms};

use super::{parse, with};

fn step(weight: u16, mirror: u16, hold: Hold) -> CanaryStep {
    CanaryStep { weight, mirror, hosts: None, hold }
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
    // What it says of the verdict is the default, but for what is asked and sent.
    let verdict = with("canary: {steps: [{weight: 5%}]}").settings.canary.verdict.unwrap();
    let no_traffic = Policy { meanwhile: Action::Drive, ..verdict.policies.no_traffic };
    let policies = Policies { no_traffic, ..verdict.policies };
    let search = HttpCheck {
        body: Some("{\"q\": \"hello\"}".into()),
        headers: [("content-type".into(), "application/json".into())].into(),
        json: vec!["length($.hits) > 0".parse().unwrap()],
        ..HttpCheck::get("/search")
    };
    let synthetic =
        Synthetic { rate: 2, timeout: Span::seconds(5), requests: vec![HttpCheck::get("/"), search] };
    let judges = Some(Judges {
        every: Span::seconds(15),
        metrics: Some(MetricsServer {
            url: "http://prometheus.example.com:9090".into(),
            login: Some(Login::Bearer("env://PROMETHEUS_TOKEN".parse().unwrap())),
        }),
        webhooks: vec![Webhook {
            query: "acceptance".into(),
            url: "https://ci.example.com/judge".into(),
            key: Some("env://JUDGE_KEY".parse().unwrap()),
        }],
    });
    let query = |name: &str, expression: &str, condition| Query {
        name: name.into(),
        expression: expression.into(),
        condition,
        strikes: 2,
    };
    let limit = |number| Limit::try_from(number).unwrap();
    let queries = vec![
        query(
            "search_errors",
            "sum(rate(search_errors_total{version=\"{{version}}\"}[1m]))",
            Condition::Beside { ratio: Ratio::thousandths(1_200), difference: limit(0.1) },
        ),
        query("queue", "max(queue_length{service=\"{{service}}\"})", Condition::AtMost(limit(1000.0))),
        query("acceptance", "https://ci.example.com/judge", Condition::Judged),
    ];
    let verdict = Some(Terms { queries, policies, synthetic: true, ..verdict });
    Canary { steps, sticky: true, choose, verdict, judges, synthetic: Some(synthetic.into()) }
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
fn some_hosts_come_first_and_have_all_of_their_traffic_where_no_share_is_named() {
    let canary = with("canary: {steps: [{hosts: 1, hold: 5m}, {hosts: 3}]}").settings.canary;
    let of = |hosts, seconds| CanaryStep {
        weight: 1000,
        mirror: 0,
        hosts: Some(hosts),
        hold: Hold::For(Span::seconds(seconds)),
    };
    assert_eq!(canary.steps, [of(1, 300), of(3, 0)]);
    assert!(canary.steps.iter().all(|step| !step.is_beside()));
    let canary =
        with("canary: {steps: [{weight: 5%, hosts: 1}, {weight: 10%}, {hosts: all}]}").settings.canary;
    let of: Vec<_> = canary.steps.iter().map(|step| (step.weight, step.hosts)).collect();
    assert_eq!(of, [(50, Some(1)), (100, Some(1)), (100, None)]);
}

#[test]
fn what_an_older_worker_would_do_otherwise_needs_the_seventh_protocol() {
    let protocol = |canary: &str| {
        let settings = with(&format!("canary: {{{canary}}}")).settings;
        let source = Source::Image("hello:1".into());
        Plan::protocol_for(&Release { version: "v1".into(), source, settings, migrations: Vec::new() })
    };
    assert_eq!(protocol("steps: [{weight: 5%}]"), 6);
    assert_eq!(protocol("steps: [{weight: 5%, hosts: 1}]"), 7);
    assert_eq!(protocol("steps: [{weight: 5%}], verdict: {dry_run: true}"), 7);
    let asked = "steps: [{weight: 5%}], verdict: {queries: {a: {webhook: \"http://judge\"}}}";
    assert_eq!(protocol(asked), 7);
    assert_eq!(protocol("steps: [{weight: 5%}], verdict: {synthetic: {requests: [/]}}"), 7);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let table = [
        ("steps: [{weight: 100%}]", "all of the requests are no step"),
        ("steps: [{hosts: 1, mirror: 100%}]", "all of the requests are no step"),
        ("steps: [{weight: 5%, hosts: 2}, {hosts: 1}]", "these are fewer hosts"),
        ("steps: [{weight: 5%}, {hosts: 1}]", "these are fewer hosts"),
        ("steps: [{hosts: 1}, {hosts: all}]", "all of the requests are no step"),
        ("steps: [{hosts: 1}, {weight: 50%}]", "the share would fall from 100 % to 50 %"),
        ("steps: [{hosts: 0}]", "1 to 1000"),
        ("steps: [{weight: 5%}], verdict: {prometheus: {url: \"http://p\"}}", "nothing is asked of it"),
        ("steps: [{weight: 5%}], verdict: {prometheus: {url: \"http://u:p@h\"}}", "without a password"),
        (
            "steps: [{weight: 5%}], verdict: {prometheus: {url: \"http://p\", username: u}}",
            "by `username` and `password`, or by a `token`",
        ),
        (
            "steps: [{weight: 5%}], verdict: {queries: {a: {query: up, at_most: 1}}}",
            "nobody is there to be asked",
        ),
        ("steps: [{weight: 5%}], verdict: {queries: {a: {query: up}}}", "which answers are good?"),
        ("steps: [{weight: 5%}], verdict: {queries: {a: {query: up, at_most: NaN}}}", "a finite number"),
        (
            "steps: [{weight: 5%}], verdict: {prometheus: {url: \"http://p\"}, queries: {a: {query: up, beside: {}}}}",
            "it asks the same of both versions",
        ),
        (
            "steps: [{weight: 5%}], verdict: {prometheus: {url: \"http://p\"}, queries: {a: {query: \"{{pod}}\", at_most: 1}}}",
            "nothing is known as '{{pod}}'",
        ),
        ("steps: [{weight: 5%}], verdict: {queries: {a: {webhook: there}}}", "not the address of a server"),
        (
            "steps: [{weight: 5%}], verdict: {queries: {a: {query: up, at_most: 1, key: env://K}}}",
            "nobody is sent what it would sign",
        ),
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
        ("steps: [{weight: 5%}], verdict: {synthetic: {rate: 5}}", "nothing is to be sent"),
        (
            "steps: [{weight: 5%}], verdict: {synthetic: {requests: [{method: GET}]}}",
            "requests[0].path: missing",
        ),
        ("steps: [{weight: 5%}], verdict: {synthetic: {requests: [up]}}", "up"),
        ("steps: [{weight: 5%}], verdict: {synthetic: {rate: 0, requests: [/]}}", "1 to 1000"),
        ("sticky: true", "it has no steps"),
    ];
    for (canary, expected) in table {
        let text =
            format!("service: hello\ncanary: {{{canary}}}\ndestinations: {{production: {{hosts: [a]}}}}");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{canary}: {error}");
    }
}
