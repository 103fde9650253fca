//! What holds whatever is counted, and how often a healthy version is called worse.

use std::time::Duration;

use cutover_verdict::{
    Counts, Incidents, Interval, Margin, Meter, Moment, Observed, Outcome, Proportion, Reading, Terms, Trial,
    Verdict, Window, judge,
};
use proptest::prelude::*;

fn binomial(chance: &mut fastrand::Rng, of: u64, rate: f64) -> u64 {
    (0..of).map(|_| u64::from(chance.f64() < rate)).sum()
}

/// How many of so many healthy canaries, looked at 100 times each, are called worse.
fn alarms(canaries: u64, (of_new, of_old): (u64, u64), rate: impl Fn(u64) -> f64) -> u64 {
    let terms = Terms { failures: Margin::NONE, latency: None, ..Terms::default() };
    let mut chance = fastrand::Rng::with_seed(7);
    let mut one = || {
        let mut trial = Trial::new(terms.clone());
        (0..100).any(|at| {
            let mut counts = |of| Counts::new(of, binomial(&mut chance, of, rate(at)), []);
            let (new, old) = (counts(of_new), counts(of_old));
            trial.observe(&Window { new, old, ..Window::default() });
            trial.has_failed()
        })
    };
    (0..canaries).map(|_| u64::from(one())).sum()
}

/// Of 1,000 at a level of 1 % ten are expected at the most: more than 20 would be so once in a thousand runs, and the seed is fixed.
#[test]
fn healthy_versions_are_called_worse_as_seldom_as_declared() {
    assert!(alarms(1_000, (5, 95), |_| 0.02) <= 20);
    assert!(alarms(1_000, (50, 50), |_| 0.3) <= 20);
    assert!(alarms(300, (95, 5), |_| 0.05) <= 8);
    // Rates that change, for both alike.
    assert!(alarms(1_000, (10, 90), |at| if at % 20 < 3 { 0.4 } else { 0.01 }) <= 20);
}

#[test]
fn the_interval_holds_at_all_times() {
    let mut chance = fastrand::Rng::with_seed(8);
    let mut missed = 0;
    for _ in 0..500 {
        let mut seen = Proportion::default();
        missed += u64::from((0..100).any(|_| {
            seen += Proportion::new(binomial(&mut chance, 20, 0.05), 20);
            let at = Interval::at_all_times(seen, 0.05);
            !(at.low..=at.high).contains(&0.05)
        }));
    }
    assert!(missed <= 25, "{missed} of 500 at 5 %");
}

fn counts(most: u64) -> impl Strategy<Value = Counts> {
    (0..=most, 0..=most, prop::array::uniform4(0..=most)).prop_map(|(requests, failed, slow)| {
        Counts::new(requests, failed, [10, 100, 1_000, u64::MAX].into_iter().zip(slow))
    })
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let window =
        (counts(2_000), counts(2_000), 0..2_u32, 0..20_u32).prop_map(|(new, old, restarts, seldom)| Window {
            new,
            old,
            incidents: Incidents { restarts, out_of_memory: u32::from(seldom == 0) },
            ..Window::default()
        });
    prop::collection::vec(window, 0..30).prop_map(|mut windows| {
        for (window, at) in windows.iter_mut().zip(0..) {
            (window.from, window.to) = (Duration::from_secs(at), Duration::from_secs(at + 1));
        }
        windows
    })
}

fn moment() -> impl Strategy<Value = Moment> {
    let seconds = |most: u64| (0..most).prop_map(Duration::from_secs);
    (seconds(2_000), seconds(1_000), seconds(60)).prop_map(|(elapsed, hold, silent)| Moment {
        elapsed,
        hold,
        silent,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_counts_have_a_verdict_that_comes_back_from_json(windows in windows(), moment in moment()) {
        let observed = Observed { windows, moment, ..Observed::default() };
        let verdict = judge(&Terms::default(), &observed);
        for finding in &verdict.evidence.findings {
            let rates = [finding.new, finding.old].map(|rate| (rate.interval.low, rate.seen.rate(), rate.interval.high));
            for (low, rate, high) in rates {
                prop_assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
            }
            prop_assert!(finding.e_value >= 1.0 && finding.e_value.is_finite());
        }
        let json = serde_json::to_string(&verdict).unwrap();
        prop_assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
        let json = serde_json::to_string(&observed).unwrap();
        prop_assert_eq!(serde_json::from_str::<Observed>(&json).unwrap(), observed);
    }

    #[test]
    fn once_failed_is_failed(windows in windows(), more in windows()) {
        let mut trial = Trial::new(Terms::default());
        windows.iter().for_each(|window| trial.observe(window));
        let moment = Moment::default();
        prop_assert_eq!(trial.has_failed(), trial.verdict(moment, &[]).outcome == Outcome::Fail);
        let before = trial.has_failed();
        more.iter().for_each(|window| trial.observe(window));
        prop_assert!(trial.has_failed() || !before);
    }

    #[test]
    fn fewer_requests_than_the_minimum_never_pass(windows in windows(), moment in moment()) {
        let requests: u64 = windows.iter().map(|window| window.new.requests).sum();
        let terms = Terms { minimum: requests + 1, ..Terms::default() };
        let verdict = judge(&terms, &Observed { windows, moment, ..Observed::default() });
        prop_assert_ne!(verdict.outcome, Outcome::Pass);
    }

    #[test]
    fn what_is_read_adds_up_whatever_restarts(
        steps in prop::collection::vec((counts(50), counts(50), any::<bool>()), 1..20)
    ) {
        let mut meter = Meter::default();
        let (mut new, mut old) = (Counts::default(), Counts::default());
        let (mut seen, mut happened) = (0, 0);
        let reading = |new: &Counts, old: &Counts| {
            vec![Reading { host: "a".into(), new: Some(new.clone()), old: Some(old.clone()) }]
        };
        meter.read(Duration::ZERO, reading(&new, &old), Incidents::default());
        for (more_new, more_old, restarts) in steps {
            if restarts {
                (new, old) = Default::default();
            }
            (new, old) = (new.plus(&more_new), old.plus(&more_old));
            happened += more_new.requests;
            let window = meter.read(Duration::from_secs(1), reading(&new, &old), Incidents::default()).unwrap();
            prop_assert!(window.new.failed <= window.new.requests && window.old.failed <= window.old.requests);
            seen += window.new.requests;
        }
        // What a restart hid is lost, and nothing is counted twice.
        prop_assert!(seen <= happened);
    }
}
