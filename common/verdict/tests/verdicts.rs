//! Each outcome, what is to be done about it, and how it reads.

use std::time::Duration;

use cutover_verdict::{
    Action, Answer, Asked, Condition, Counts, Incidents, LatencyTerms, Limit, Margin, Moment, Observed,
    Outcome, Proof, Query, Ratio, Reason, Round, Share, Subject, Terms, Tripped, Verdict, Window, judge,
};

fn second(second: u64, new: Counts, old: Counts) -> Window {
    Window {
        from: Duration::from_secs(second),
        to: Duration::from_secs(second + 1),
        new,
        old,
        ..Window::default()
    }
}

/// So many seconds with 5 requests of the new version and 95 of the old one, of which so many failed in all, evenly.
fn seconds(count: u64, failed_new: u64, failed_old: u64) -> Vec<Window> {
    let failed = |all: u64, at: u64| all * (at + 1) / count - all * at / count;
    let window = |at| {
        second(at, Counts::new(5, failed(failed_new, at), []), Counts::new(95, failed(failed_old, at), []))
    };
    (0..count).map(window).collect()
}

fn at(elapsed: u64, hold: u64) -> Moment {
    Moment { elapsed: Duration::from_secs(elapsed), hold: Duration::from_secs(hold), silent: Duration::ZERO }
}

fn failures() -> Terms {
    Terms { latency: None, ..Terms::default() }
}

fn judged(terms: &Terms, windows: Vec<Window>, moment: Moment) -> Verdict {
    judge(terms, &Observed { windows, moment, ..Observed::default() })
}

fn said(verdict: &Verdict) -> (Outcome, Action) {
    (verdict.outcome, verdict.action)
}

#[test]
fn twice_as_many_failures_are_a_fail() {
    let verdict = judged(&failures(), seconds(1_200, 120, 1_140), at(1_200, 3_600));
    assert_eq!(said(&verdict), (Outcome::Fail, Action::GoBack));
    assert_eq!(verdict.reasons, [Reason::Worse(Subject::Failures)]);
}

#[test]
fn a_version_that_answers_nothing_fails_within_seconds() {
    let verdict = judged(&Terms::default(), seconds(3, 15, 0), at(3, 600));
    assert_eq!(said(&verdict), (Outcome::Fail, Action::GoBack));
    assert!(
        matches!(verdict.reasons[..], [Reason::Guard(Tripped::Burst { .. }), Reason::Worse(_)]),
        "{verdict}"
    );
    // By its first four requests already, without any guard.
    let first = second(0, Counts::new(4, 4, []), Counts::new(76, 0, []));
    assert_eq!(judged(&failures(), vec![first], at(1, 600)).outcome, Outcome::Fail);
}

#[test]
fn a_replica_without_memory_fails_whatever_the_requests_say() {
    let mut windows = seconds(600, 0, 0);
    windows[300].incidents = Incidents { restarts: 1, out_of_memory: 1 };
    let verdict = judged(&Terms::default(), windows, at(600, 600));
    assert_eq!(said(&verdict), (Outcome::Fail, Action::GoBack));
    assert_eq!(verdict.reasons, [Reason::Guard(Tripped::OutOfMemory { count: 1 })]);
}

#[test]
fn a_pass_by_a_bound_needs_proof() {
    let wide = Margin { ratio: Ratio::ONE, difference: Share::percent(1) };
    let terms = Terms { failures: wide, proof: Proof::Bound, ..failures() };
    assert_eq!(terms.check(), Ok(()));
    let early = judged(&terms, seconds(60, 0, 0), at(60, 60));
    assert_eq!(said(&early), (Outcome::Inconclusive, Action::Hold));
    assert_eq!(early.reasons, [Reason::Unproven(Subject::Failures)]);
    let later = judged(&terms, seconds(600, 0, 0), at(600, 60));
    assert_eq!(said(&later), (Outcome::Pass, Action::Proceed));
    assert_eq!(later.reasons, [Reason::Harmless]);
    // Proven before its time: it waits for it, or doesn't.
    let windows = || seconds(600, 0, 0);
    assert_eq!(said(&judged(&terms, windows(), at(600, 3_600))), (Outcome::Pass, Action::Hold));
    let early = Terms { early: true, ..terms };
    assert_eq!(said(&judged(&early, windows(), at(600, 3_600))), (Outcome::Pass, Action::Proceed));
}

#[test]
fn a_pass_without_a_sign_of_harm_needs_time_and_requests() {
    let before = judged(&failures(), seconds(60, 0, 0), at(60, 120));
    assert_eq!(said(&before), (Outcome::Inconclusive, Action::Hold));
    let over = judged(&failures(), seconds(60, 0, 0), at(120, 120));
    assert_eq!(said(&over), (Outcome::Pass, Action::Proceed));
    assert_eq!(over.reasons, [Reason::Quiet]);
    let few = judged(&failures(), seconds(19, 0, 0), at(120, 120));
    assert_eq!(said(&few), (Outcome::Inconclusive, Action::Hold));
    assert_eq!(few.reasons, [Reason::TooFew { requests: 95, minimum: 100 }]);
}

#[test]
fn a_sign_of_harm_is_no_pass() {
    // Four of three hundred beside none of three hundred: no proof of anything, but nothing that anyone would call good.
    let window = second(0, Counts::new(300, 4, []), Counts::new(300, 0, []));
    let verdict = judged(&failures(), vec![window], at(120, 120));
    assert_eq!(said(&verdict), (Outcome::Inconclusive, Action::Hold));
    assert_eq!(verdict.reasons, [Reason::Suspicious(Subject::Failures)]);
}

#[test]
fn with_nothing_beside_it_nothing_is_said() {
    let windows = vec![second(0, Counts::new(1_000, 0, []), Counts::default())];
    let verdict = judged(&failures(), windows, at(120, 120));
    assert_eq!(
        (verdict.outcome, &verdict.reasons[..]),
        (Outcome::Inconclusive, &[Reason::NothingBeside][..])
    );
}

#[test]
fn no_traffic_is_driven_and_then_goes_back() {
    let silent = |elapsed| {
        let windows = vec![second(0, Counts::default(), Counts::new(500, 0, []))];
        said(&judged(&Terms::default(), windows, at(elapsed, 120)))
    };
    assert_eq!(silent(60), (Outcome::NoTraffic, Action::Drive));
    assert_eq!(silent(719), (Outcome::NoTraffic, Action::Drive));
    assert_eq!(silent(720), (Outcome::NoTraffic, Action::GoBack));
}

/// A second with that many synthetic requests of each version, of which so many failed.
fn synthetic(at: u64, requests: u64, failed_new: u64, failed_old: u64) -> Window {
    let counts = |failed| Counts::new(requests, failed, []);
    Window { synthetic: true, ..second(at, counts(failed_new), counts(failed_old)) }
}

#[test]
fn synthetic_requests_are_enough_where_nobody_sends_any() {
    for proof in [Proof::Quiet, Proof::Bound] {
        let terms = Terms { synthetic: true, proof, ..Terms::default() };
        let judged = |windows| judged(&terms, windows, at(4_000, 4_000));
        let good = judged((0..4_000).map(|at| synthetic(at, 5, 0, 0)).collect());
        assert_eq!(said(&good), (Outcome::Pass, Action::Proceed), "{good}");
        let bad = judged((0..20).map(|at| synthetic(at, 5, 1, 0)).collect());
        assert_eq!(said(&bad), (Outcome::Fail, Action::GoBack), "{bad}");
        assert_eq!(bad.reasons, [Reason::Worse(Subject::Synthetic)]);
    }
    let nothing =
        judged(&Terms { synthetic: true, ..Terms::default() }, vec![synthetic(0, 0, 0, 0)], at(1, 60));
    assert_eq!(said(&nothing), (Outcome::NoTraffic, Action::Drive));
}

/// Of the old version's requests one of twenty is synthetic, of the new version's half: if synthetic ones fail more often with
/// both, a mixture would make a worse version of that.
#[test]
fn synthetic_requests_are_compared_with_synthetic_ones() {
    let both = |at| [second(at, Counts::new(5, 0, []), Counts::new(95, 0, [])), synthetic(at, 5, 1, 1)];
    let windows: Vec<_> = (0..600).flat_map(both).collect();
    let terms = Terms { synthetic: true, ..failures() };
    let verdict = judged(&terms, windows, at(600, 600));
    assert_eq!(said(&verdict), (Outcome::Pass, Action::Proceed), "{verdict}");
    let of: Vec<_> =
        verdict.evidence.findings.iter().map(|finding| (finding.subject, finding.new.seen.of)).collect();
    assert_eq!(of, [(Subject::Failures, 3_000), (Subject::Synthetic, 3_000)]);
}

#[test]
fn proxies_that_are_silent_are_no_pass() {
    let moment = |elapsed, silent| Moment { silent: Duration::from_secs(silent), ..at(elapsed, 120) };
    let windows = || seconds(600, 0, 0);
    assert_eq!(judged(&failures(), windows(), moment(600, 29)).outcome, Outcome::Pass);
    let silent = judged(&failures(), windows(), moment(600, 30));
    assert_eq!(said(&silent), (Outcome::MetricsDown, Action::Hold));
    assert_eq!(
        said(&judged(&failures(), windows(), moment(720, 30))),
        (Outcome::MetricsDown, Action::GoBack)
    );
    // What was proven before they fell silent stays so.
    assert_eq!(judged(&failures(), seconds(100, 250, 0), moment(600, 30)).outcome, Outcome::Fail);
}

#[test]
fn a_query_is_never_passed_over() {
    let query = Query {
        name: "lag".into(),
        expression: "max(queue_lag_seconds)".into(),
        condition: Condition::AtMost(Limit::try_from(5.0).unwrap()),
        strikes: 2,
    };
    let terms = Terms { queries: vec![query], ..failures() };
    let values = |value: &str| Answer::Values(vec![value.into()]);
    let judged = |answers: Vec<Answer>| {
        let rounds = answers.into_iter().map(|new| Round { new, old: None }).collect();
        let asked = vec![Asked { name: "lag".into(), rounds }];
        judge(
            &terms,
            &Observed { windows: seconds(600, 0, 0), moment: at(600, 120), asked, ..Observed::default() },
        )
        .outcome
    };
    assert_eq!(judged(vec![values("9"), values("4")]), Outcome::Pass);
    assert_eq!(judged(vec![values("4"), values("9")]), Outcome::Inconclusive);
    assert_eq!(judged(vec![values("9"), values("9")]), Outcome::Fail);
    assert_eq!(judged(vec![values("4"), values("NaN")]), Outcome::Inconclusive);
    assert_eq!(judged(vec![values("4"), Answer::Values(Vec::new())]), Outcome::MetricsDown);
    assert_eq!(judged(vec![values("4"), Answer::Down("connection refused".into())]), Outcome::MetricsDown);
    assert_eq!(judged(Vec::new()), Outcome::MetricsDown);
}

#[test]
fn a_dry_run_says_the_same_and_does_nothing_of_it() {
    let terms = Terms { dry_run: true, ..failures() };
    let bad = |elapsed| said(&judged(&terms, seconds(1_200, 600, 1_140), at(elapsed, 3_600)));
    assert_eq!(bad(1_200), (Outcome::Fail, Action::Hold));
    assert_eq!(bad(3_600), (Outcome::Fail, Action::Proceed));
}

#[test]
fn what_is_observed_piece_by_piece_is_judged_as_the_whole() {
    let values = |value: &str| Round { new: Answer::Values(vec![value.into()]), old: None };
    let mut whole = Observed { windows: seconds(100, 250, 0), moment: at(100, 600), ..Observed::default() };
    whole.answered("lag", [values("1"), values("2")]);
    whole.answered("depth", [values("3")]);
    let mut pieces = Observed::default();
    assert!(pieces.is_empty());
    for (number, windows) in whole.windows.chunks(30).enumerate() {
        let mut piece = Observed { windows: windows.to_vec(), moment: whole.moment, ..Observed::default() };
        match number {
            0 => piece.answered("lag", [values("1")]),
            1 => piece.answered("lag", [values("2")]),
            2 => piece.answered("depth", [values("3")]),
            _ => {}
        }
        pieces.extend(piece);
    }
    assert_eq!(pieces, whole);
}

/// 100 requests of each version: the old one's latencies, and those moved up by a bucket.
fn latencies(slow: bool) -> Counts {
    let counts = if slow { [0, 50, 40, 5, 5] } else { [50, 40, 5, 5, 0] };
    Counts::new(100, 0, [10, 25, 50, 100, u64::MAX].into_iter().zip(counts))
}

#[test]
fn a_slow_version_fails_and_the_evidence_says_how_slow_it_is() {
    let windows = |slow| (0..60).map(|at| second(at, latencies(slow), latencies(false))).collect();
    let slow = judged(&Terms::default(), windows(true), at(60, 60));
    assert_eq!(slow.outcome, Outcome::Fail);
    assert!(
        slow.reasons.iter().all(|reason| matches!(reason, Reason::Worse(Subject::Slower { .. }))),
        "{slow}"
    );
    let speed = slow.evidence.speed.as_ref().unwrap();
    assert!(speed.superiority > 0.7 && speed.cliffs_delta() > 0.4, "{slow}");
    assert!(speed.quantiles[0].1 > 2.0 * speed.quantiles[0].2, "{slow}");
    assert_eq!(judged(&Terms::default(), windows(false), at(60, 60)).outcome, Outcome::Pass);
}

#[test]
fn a_verdict_reads_like_this_and_comes_back_from_json() {
    let mut windows = seconds(160, 19, 12);
    let bounds = [10, 25, 50, 100, 250, u64::MAX];
    for window in &mut windows {
        window.new.latency = bounds.into_iter().zip([2, 1, 1, 1, 0, 0]).collect();
        window.old.latency = bounds.into_iter().zip([40, 30, 15, 9, 1, 0]).collect();
    }
    // What the old version did before: enough to know how fast it is.
    let before = Window {
        new: Counts::default(),
        old: Counts { requests: 950, failed: 1, ..windows[0].old.clone() },
        ..windows[0].clone()
    };
    windows.splice(0..0, std::iter::repeat_n(before, 6));
    let quantiles = vec![Share::percent(50), Share::percent(99)];
    let latency = Some(LatencyTerms { quantiles, ..LatencyTerms::default() });
    let verdict = judged(&Terms { latency, ..Terms::default() }, windows, at(160, 600));
    // The page shows the same.
    let page = include_str!("../../../docs/verdict.md");
    assert!(page.contains(&format!("```\n{verdict}\n```\n")), "the page doesn't show this:\n{verdict}");
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
}
