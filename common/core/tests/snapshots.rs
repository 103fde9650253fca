//! Snapshots: what is read back is what was written, now and from earlier versions, and what they cover may be purged.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use std::time::Duration;

use cutover_core::{Event, Failure, Service, Span};
use journal::{TO_RETIRE, TO_SWITCH, id, keeping_warm, plan, play, task, two_hosts, unrestored};

#[test]
fn a_snapshot_reads_back_as_the_fold() {
    let mut journal = two_hosts(TO_SWITCH);
    journal.do_all("switch a, switch b");
    let soak = task("soak");
    let claim = journal.claim(&soak);
    journal.progress(&soak, claim).unwrap();
    journal
        .fail(&soak, claim, Failure::lasting("too many errors").hint("look").tail(vec!["500".into()]))
        .unwrap();
    journal.do_all("restore a, restore b, discard a, discard b");
    for service in [&journal.service, &Service::default()] {
        let snapshot = serde_json::to_vec(service).unwrap();
        assert_eq!(serde_json::from_slice::<Service>(&snapshot).unwrap(), *service);
    }
    // From the snapshot on it goes as from the first entry.
    let snapshot = serde_json::to_vec(&journal.service).unwrap();
    let mut restored = journal.clone();
    restored.service = serde_json::from_slice(&snapshot).unwrap();
    for journal in [&mut journal, &mut restored] {
        journal.replay(None).unwrap();
        journal.do_all("boot a, boot b, probe a, probe b, switch a, switch b, soak, retire a, retire b");
    }
    assert_eq!(journal.service, restored.service);
    assert_eq!(journal.stands(), "live");
}

#[test]
fn what_a_snapshot_covers_is_needless_but_for_what_is_remembered_or_owed() {
    let mut journal = unrestored();
    let failed = "accept → build\nclaim build → …\nfail build → failed; owed: restore a of 1";
    let mut began = vec![1];
    for number in 2..=4 {
        began.push(journal.sequence() + 1);
        let mut plan = plan(number, &["a", "b"]);
        journal.now = journal.now.after(Duration::from_secs(60));
        play(&mut journal, &plan, failed);
        plan.deployment = id(number);
        began.push(journal.sequence() + 1);
        play(
            &mut journal,
            &plan,
            "replay → build\nclaim build → …\nfail build → failed; owed: restore a of 1",
        );
    }
    let first = |number: usize| Some(began[2 * number - 3]);
    assert_eq!(journal.service.needless_below(1), None, "no snapshot has it");
    journal.append(Event::Snapshot).unwrap();
    assert_eq!(journal.service.needless_below(1), Some(1), "the first one owes something");
    let mut paid = journal.clone();
    paid.do_all("restore a, discard a");
    assert_eq!(paid.service.needless_below(0), None);
    assert_eq!(paid.service.needless_below(1), first(4));
    assert_eq!(paid.service.needless_below(2), first(3), "its rounds count as one");
    assert_eq!(paid.service.needless_below(3), first(2));
    assert_eq!(paid.service.needless_below(4), Some(1));
    assert_eq!(paid.service.needless_below(5), None);
}

/// What was owed by its words is forgotten: no deployment is known that could pay it.
#[test]
fn a_snapshot_of_before_there_were_obligations_can_be_read() {
    let mut journal = two_hosts(&format!("{TO_RETIRE}\ndo retire a, retire b → live"));
    let now = serde_json::to_string(&journal.service).unwrap();
    let debts = r#""debts":[{"host":"a","stage":"restore","deployment":"00000000000000000000000001","reason":"broken","since":7}]"#;
    let mut before = now.replace(r#""obligations":[],"owing":[]"#, debts);
    for new in [r#","warm":null"#, r#","warm_until":null"#, r#""sequence":1,"accepted""#] {
        assert!(before.contains(new), "{new}");
        before = before.replace(new, if new.ends_with("accepted\"") { r#""accepted""# } else { "" });
    }
    let replicas = serde_json::to_string(&journal.service.kept[0].replicas).unwrap();
    before = before.replace(&format!(r#","replicas":{replicas}"#), "");
    let read: Service = serde_json::from_str(&before).unwrap();
    assert_eq!((&read.obligations, &read.owing, read.needless_below(1)), (&vec![], &vec![], None));
    assert_eq!(read.kept[0].booted_by(), &id(1));
    assert_eq!(read.warm_until(&read.kept[0]), None);
    // The next deployment finds nothing that it could keep warm, and is whole all the same.
    journal.service = read;
    journal.accept(&keeping_warm(plan(2, &["a", "b"]), Span::seconds(60))).unwrap();
    journal.do_all("build, ship a, ship b, boot a, boot b, probe a, probe b, switch a, switch b, soak");
    journal.do_all("retire a, retire b");
    assert_eq!(journal.stands(), "live");
}
