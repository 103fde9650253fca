use cutover_core::Span;

use super::*;

/// Requests, and errors among them.
type Counts = (u64, u64);

fn evidence((requests, errors): Counts) -> Evidence {
    Evidence { requests, errors }
}

fn guard(max_errors_per_mille: u32, min_requests: u64) -> Soak {
    Soak { time: Span::seconds(10), max_errors_per_mille, min_requests }
}

fn hosts(counts: &[Counts]) -> Vec<(HostName, Tally)> {
    let host = |(index, counted): (usize, &Counts)| {
        let mut tally = Tally::default();
        tally.take(evidence(*counted));
        (format!("host-{}", index + 1).parse().unwrap(), tally)
    };
    counts.iter().enumerate().map(host).collect()
}

#[test]
fn the_share_counts_once_there_are_enough_requests() {
    // Thousandths that are allowed, requests that are needed, what the hosts counted, whether it is taken back.
    let table: &[(u32, u64, &[Counts], bool)] = &[
        // Nothing is no evidence, for or against.
        (10, 20, &[], false),
        (10, 20, &[(0, 0)], false),
        (10, 0, &[(0, 0)], false),
        // Too few requests say nothing, whatever became of them.
        (10, 20, &[(19, 19)], false),
        (10, 20, &[(20, 20)], true),
        (10, 0, &[(1, 1)], true),
        // What is allowed is allowed; one more is not.
        (10, 20, &[(1000, 10)], false),
        (10, 20, &[(1000, 11)], true),
        (10, 20, &[(999, 10)], true),
        (0, 20, &[(1_000_000, 0)], false),
        (0, 20, &[(1_000_000, 1)], true),
        (1000, 20, &[(50, 50)], false),
        // Hosts count together: for the needed requests, and for the share.
        (10, 20, &[(10, 1), (10, 0)], true),
        (10, 20, &[(500, 0), (500, 10)], false),
        (10, 20, &[(500, 0), (500, 11)], true),
        // Numbers as large as they get.
        (1, 20, &[(u64::MAX, u64::MAX / 1000), (u64::MAX, 0)], false),
        (1, 20, &[(u64::MAX, u64::MAX / 999)], true),
    ];
    for (max, min, counts, taken_back) in table {
        let verdict = judge(&guard(*max, *min), &hosts(counts));
        assert_eq!(verdict.is_err(), *taken_back, "{max} of 1000, {min} needed, {counts:?}: {verdict:?}");
    }
}

#[test]
fn the_evidence_is_the_sum_and_the_verdict_names_each_host() {
    let counts = hosts(&[(200, 30), (212, 7)]);
    assert_eq!(judge(&guard(1000, 20), &counts).unwrap(), evidence((412, 37)));
    let verdict = judge(&guard(10, 20), &counts).unwrap_err();
    assert_eq!(
        verdict.to_string(),
        "37 of 412 requests failed, 9.0 %, where at most 1.0 % are allowed (host-1: 30 of 200, host-2: 7 of 212)"
    );
    assert_eq!(verdict.worst().unwrap().as_str(), "host-1");
}

#[test]
fn a_proxy_that_starts_anew_loses_no_count() {
    // What a proxy says, one after the other, and what it has counted in all.
    let table: &[(&[Counts], Counts)] = &[
        (&[], (0, 0)),
        (&[(5, 1)], (5, 1)),
        (&[(5, 1), (5, 1), (9, 2)], (9, 2)),
        (&[(100, 3), (0, 0), (20, 1)], (120, 4)),
        (&[(100, 3), (20, 0), (10, 0)], (130, 3)),
        // It has more requests than before already, but fewer errors.
        (&[(10, 3), (12, 1)], (22, 4)),
    ];
    for (said, all) in table {
        let mut tally = Tally::default();
        for counted in *said {
            tally.take(evidence(*counted));
        }
        assert_eq!(tally.all(), evidence(*all), "{said:?}");
    }
}

#[test]
fn what_was_good_before_hides_nothing_that_comes() {
    let mut tally = Tally::from_now_on(evidence((1_000_000, 7)));
    tally.take(evidence((1_000_030, 37)));
    assert_eq!(tally.all(), evidence((30, 30)));
    // The proxy is started anew.
    tally.take(evidence((5, 1)));
    assert_eq!(tally.all(), evidence((35, 31)));
}

#[test]
fn what_was_begun_with_a_5xx_and_cut_off_is_one_error() {
    let set = SetStatus {
        requests: 40,
        server_errors: 2,
        proxy_errors: 1,
        ..SetStatus::new("new", "0123456789ab")
    };
    assert_eq!(counted(&set), evidence((40, 3)));
    assert_eq!(counted(&SetStatus { server_errors: 40, proxy_errors: 10, ..set }), evidence((40, 40)));
}
