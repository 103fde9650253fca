#![allow(clippy::unwrap_used)]
use cutover_control::{ApplicationProtocol, Choice, Port, Route};

use super::*;
use crate::traffic::BootClock;

fn epoch(sequence: u64) -> Epoch {
    Epoch { journal: "j1".into(), sequence }
}

fn switch(key: &str, deployment: &str, sequence: u64, hosts: &[&str]) -> Switch {
    let target = Target { replica: "r1".into(), address: "127.0.0.1:1".parse().unwrap() };
    let release = format!("release of {deployment}");
    Switch {
        route: Route { hosts: hosts.iter().map(|host| (*host).into()).collect(), ..Route::default() },
        ..Switch::new(key.parse().unwrap(), epoch(sequence), deployment, &release, vec![target])
    }
}

fn key() -> ServiceKey {
    ServiceKey::new("production", "app")
}

#[test]
fn a_switch_keeps_a_way_back_until_it_is_retired() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.switch(&switch("production/app", "d1", 1, &[])).unwrap(), None);
    assert_eq!(ledger.switch(&switch("production/app", "d2", 2, &[])).unwrap().as_deref(), Some("d1"));
    assert_eq!(ledger.switch(&switch("production/app", "d2", 2, &[])).unwrap().as_deref(), Some("d1"));
    assert_eq!(ledger.restore(&key(), &epoch(3), "d2").unwrap().as_deref(), Some("d1"));
    assert_eq!(ledger.restore(&key(), &epoch(3), "d2").unwrap().as_deref(), Some("d1"));
    ledger.retire(&key(), &epoch(4), "d1").unwrap();
    assert!(matches!(ledger.retire(&key(), &epoch(4), "d2"), Err(Refusal::Invalid { .. })));
    assert_eq!(ledger.restore(&key(), &epoch(5), "d1").unwrap(), None);
}

#[test]
fn a_restore_raises_the_fence_also_where_nothing_was_switched() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.restore(&key(), &epoch(9), "d1").unwrap(), None);
    let late = ledger.switch(&switch("production/app", "d1", 8, &[]));
    assert_eq!(late, Err(Refusal::StaleEpoch { highest: epoch(9) }));
}

#[test]
fn another_journal_is_refused_until_it_is_adopted() {
    let mut ledger = Ledger::default();
    ledger.switch(&switch("production/app", "d1", 7, &[])).unwrap();
    let other = Epoch { journal: "j2".into(), sequence: 1 };
    let refused = ledger.restore(&key(), &other, "d1");
    assert_eq!(refused, Err(Refusal::ForeignJournal { journal: "j1".into() }));
    ledger.fences.adopt(&key(), "j2");
    assert_eq!(ledger.restore(&key(), &other, "d0").unwrap().as_deref(), Some("d1"));
}

#[test]
fn a_host_belongs_to_one_service_also_while_it_could_be_restored() {
    let mut ledger = Ledger::default();
    ledger.switch(&switch("production/a", "d1", 1, &["A.example"])).unwrap();
    ledger.switch(&switch("production/a", "d2", 2, &["b.example"])).unwrap();
    for host in ["a.example", "b.example."] {
        let refused = ledger.clone().switch(&switch("production/b", "d3", 3, &[host]));
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{host}");
    }
    ledger.retire(&"production/a".parse().unwrap(), &epoch(3), "d2").unwrap();
    ledger.switch(&switch("production/b", "d3", 3, &["a.example"])).unwrap();
}

#[test]
fn a_call_that_makes_no_sense_is_refused() {
    let mut nowhere = switch("production/app", "d1", 1, &[]);
    nowhere.targets.clear();
    let mut unhealthy = switch("production/app", "d1", 1, &[]);
    unhealthy.health = Some(HealthCheck::new("up", 1, 1));
    let mut impatient = switch("production/app", "d1", 1, &[]);
    impatient.timeouts.connect_ms = 0;
    let wild = switch("production/app", "d1", 1, &["*"]);
    let mut shrinking = switch("production/app", "d1", 1, &[]);
    shrinking.upstream.ejection.max_ms = shrinking.upstream.ejection.base_ms - 1;
    let mut timeless = switch("production/app", "d1", 1, &[]);
    timeless.upstream.ejection.base_ms = 0;
    for bad in [nowhere, unhealthy, impatient, wild, shrinking, timeless] {
        assert!(matches!(Ledger::default().switch(&bad), Err(Refusal::Invalid { .. })));
    }
}

#[test]
fn a_prefix_belongs_to_one_service_also_while_it_could_be_restored() {
    let mut ledger = Ledger::default();
    let with = |key, deployment, sequence, prefix: &str| {
        let mut switch = switch(key, deployment, sequence, &["a.example"]);
        switch.route.path_prefixes.push(prefix.to_owned());
        switch
    };
    ledger.switch(&with("production/a", "d1", 1, "/api/")).unwrap();
    ledger.switch(&with("production/a", "d2", 2, "/v2")).unwrap();
    for prefix in ["/api", "/v2/"] {
        let refused = ledger.clone().switch(&with("production/b", "d3", 3, prefix)).unwrap_err();
        assert!(refused.to_string().contains("of a.example is routed to production/a"), "{refused}");
    }
    ledger.clone().switch(&with("production/b", "d3", 3, "/api/v2")).unwrap();
    ledger.switch(&switch("production/b", "d3", 3, &["a.example"])).unwrap();
    ledger.retire(&"production/a".parse().unwrap(), &epoch(4), "d2").unwrap();
    ledger.switch(&with("production/c", "d4", 5, "/api")).unwrap();
}

fn canary(key: &str, deployment: &str, sequence: u64) -> cutover_control::Canary {
    let switch = switch(key, deployment, sequence, &["canary.example"]);
    cutover_control::Canary { switch, weight: 100, hold_ms: 5_000, sticky: false, choose: None, mirror: 0 }
}

fn until() -> Deadline {
    BootClock::new().after(5_000)
}

#[test]
fn a_canary_stands_beside_what_serves_until_it_is_promoted_displaced_or_taken_back() {
    let mut ledger = Ledger::default();
    ledger.switch(&switch("production/app", "d1", 1, &[])).unwrap();
    let beside = |ledger: &Ledger| {
        let service = &ledger.services[&key()];
        let canary = service.canary.as_ref().map(|canary| canary.deployed.deployment.clone());
        (service.active.as_ref().map(|active| active.deployment.clone()), canary)
    };
    let pair = |active: &str, canary: Option<&str>| (Some(active.to_owned()), canary.map(str::to_owned));
    assert_eq!(ledger.canary(&canary("production/app", "d2", 2), until()).unwrap(), "d1");
    assert_eq!(beside(&ledger), pair("d1", Some("d2")));

    let mut taken_back = ledger.clone();
    assert_eq!(taken_back.restore(&key(), &epoch(3), "d2").unwrap().as_deref(), Some("d1"));
    assert_eq!(beside(&taken_back), pair("d1", None));
    let mut displaced = ledger.clone();
    displaced.switch(&switch("production/app", "d3", 3, &[])).unwrap();
    assert_eq!(beside(&displaced), pair("d3", None));
    let mut replaced = ledger.clone();
    replaced.canary(&canary("production/app", "d3", 3), until()).unwrap();
    assert_eq!(beside(&replaced), pair("d1", Some("d3")));
    let promoted = ledger.switch(&switch("production/app", "d2", 3, &[])).unwrap();
    assert_eq!(promoted.as_deref(), Some("d1"));
    assert_eq!(beside(&ledger), pair("d2", None));
}

#[test]
fn a_retire_says_that_a_canary_serves_also_when_its_hold_is_over() {
    let mut ledger = Ledger::default();
    ledger.switch(&switch("production/app", "d1", 1, &[])).unwrap();
    let mut other = canary("production/app", "d2", 2);
    other.switch.targets[0].replica = "canary".into();
    ledger.canary(&other, BootClock::new().after(0)).unwrap();
    ledger.retire(&key(), &epoch(3), "d1").unwrap();
    let serving = ledger.services[&key()].serving();
    assert_eq!(serving.iter().map(|target| target.replica.as_str()).collect::<Vec<_>>(), ["r1", "canary"]);
}

#[test]
fn a_canary_is_fenced_and_needs_something_beside_it() {
    let mut ledger = Ledger::default();
    let alone = ledger.clone().canary(&canary("production/app", "d1", 1), until());
    assert!(alone.unwrap_err().to_string().contains("nothing serves beside it"));
    ledger.switch(&switch("production/app", "d1", 5, &[])).unwrap();
    ledger.switch(&switch("production/app", "d2", 6, &[])).unwrap();
    let stale = ledger.clone().canary(&canary("production/app", "d3", 5), until());
    assert_eq!(stale, Err(Refusal::StaleEpoch { highest: epoch(6) }));
    for (deployment, wrong) in [("d1", "a restore would bring back"), ("d2", "the active deployment")] {
        let refused = ledger.clone().canary(&canary("production/app", deployment, 7), until());
        assert!(refused.unwrap_err().to_string().contains(wrong), "{deployment}");
    }
    let fine = canary("production/app", "d3", 7);
    let tried = Choice::Header { name: "no name".into(), value: String::new() };
    for bad in [
        cutover_control::Canary { weight: 1_001, ..fine.clone() },
        cutover_control::Canary { mirror: 1_001, ..fine.clone() },
        cutover_control::Canary { hold_ms: 0, ..fine.clone() },
        cutover_control::Canary { hold_ms: u64::MAX, ..fine.clone() },
        cutover_control::Canary { choose: Some(tried), ..fine.clone() },
    ] {
        let refused = ledger.clone().canary(&bad, until());
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{bad:?}");
    }
    ledger.canary(&fine, until()).unwrap();
    // Its route may become the service's at any time.
    let taken = ledger.switch(&switch("production/other", "d4", 1, &["canary.example"]));
    assert!(matches!(taken, Err(Refusal::Invalid { .. })));
}

#[test]
fn an_operator_is_asked_for_the_journal_and_for_no_place_among_the_claims() {
    let mut ledger = Ledger::default();
    let pause = |journal: Option<&str>, hold_ms| cutover_control::Pause {
        key: key(),
        journal: journal.map(str::to_owned),
        hold_ms,
        max_waiting: 1,
    };
    assert_eq!(ledger.pause(&pause(Some("j1"), 1_000), until()), Err(Refusal::UnknownService));
    ledger.switch(&switch("production/app", "d1", 7, &[])).unwrap();
    let foreign = Err(Refusal::ForeignJournal { journal: "j1".into() });
    assert_eq!(ledger.pause(&pause(Some("j2"), 1_000), until()), foreign);
    assert_eq!(ledger.resume(&key(), Some("j2")), foreign);
    assert_eq!(ledger.end_maintenance(&key(), Some("j2")), foreign);
    for endless in [0, u64::MAX] {
        let refused = ledger.pause(&pause(None, endless), until());
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{endless}");
    }
    ledger.pause(&pause(Some("j1"), 1_000), until()).unwrap();
    ledger.pause(&pause(None, 1_000), until()).unwrap();
    ledger.switch(&switch("production/app", "d2", 7, &[])).unwrap();
    assert!(ledger.services[&key()].pause.is_some());
    ledger.resume(&key(), None).unwrap();
    assert_eq!(ledger.services[&key()].pause, None);
}

#[test]
fn a_service_is_stored_as_before_there_were_ports_unless_it_has_some() {
    let stored = r#"{"route":{"hosts":["a.example"]},"drain_ms":1,"active":null,"previous":null}"#;
    let mut service: Service = serde_json::from_str(stored).unwrap();
    assert_eq!(service.claims.route.hosts, ["a.example"]);
    assert_eq!(serde_json::to_string(&service).unwrap(), stored);
    let (number, route) = (8080, Route { path_prefixes: vec!["/cable".into()], ..Route::default() });
    let application_protocol = ApplicationProtocol::H2c;
    service.claims.ports.push(Port { number, route, application_protocol });
    let text = serde_json::to_string(&service).unwrap();
    assert_eq!(serde_json::from_str::<Service>(&text).unwrap(), service);
}

#[test]
fn what_was_stored_before_there_were_prefixes_and_limits_is_read() {
    let stored = r#"{"deployment":"d1","release":"r1","route":{"hosts":["a.example"]},"targets":[],
        "health":null,"response_ms":30000}"#;
    let deployed: Deployed = serde_json::from_str(stored).unwrap();
    assert_eq!((deployed.timeouts, deployed.max_request_body), (Timeouts::of_response(30_000), None));
    assert!(deployed.claims.route.path_prefixes.is_empty());
    assert_eq!((deployed.claims.ports, deployed.upstream), (Vec::new(), Upstream::default()));
}
