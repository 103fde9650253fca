//! What a proxy reports of its sets fits.

use std::time::Duration;

use cutover_control::SetStatus;
use cutover_verdict::{Counts, Incidents, Meter, Reading};

fn counts(set: &SetStatus) -> Counts {
    Counts::new(set.requests, set.server_errors + set.proxy_errors, set.latency.iter().copied())
}

#[test]
fn sets_of_a_proxy_are_read_as_they_are() {
    let mut canary = SetStatus::new("d2", "r2");
    let mut live = SetStatus::new("d1", "r1");
    live.latency = vec![(10, 900), (u64::MAX, 100)];
    (live.requests, live.server_errors) = (1_000, 7);
    let mut meter = Meter::default();
    let mut read = |second, canary: &SetStatus, live: &SetStatus| {
        let reading = Reading { host: "a".into(), new: Some(counts(canary)), old: Some(counts(live)) };
        meter.read(Duration::from_secs(second), vec![reading], Incidents::default())
    };
    assert_eq!(read(0, &canary, &live), None);

    (canary.requests, canary.server_errors, canary.proxy_errors) = (50, 1, 2);
    canary.latency = vec![(10, 40), (u64::MAX, 10)];
    (live.requests, live.server_errors) = (1_950, 9);
    live.latency = vec![(10, 1_800), (u64::MAX, 150)];
    let window = read(1, &canary, &live).unwrap();
    assert_eq!(window.new, Counts::new(50, 3, [(10, 40), (u64::MAX, 10)]));
    assert_eq!(window.old, Counts::new(950, 2, [(10, 900), (u64::MAX, 50)]));
}
