#![allow(clippy::unwrap_used)]

use cutover_core::{HostSpec, Replica, Span};

use super::super::live_replica::Terms;
use super::*;

const START: Timestamp = Timestamp(1_000_000);

/// So many seconds after the start.
fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

fn host(name: &str) -> HostSpec {
    HostSpec { name: name.parse().unwrap(), port: 22, user: "root".into(), host_key: None }
}

/// A replica that is asked every second, fails after three bad answers in a row, and has 30 s to get ready.
fn live(on: &str, name: &str) -> LiveReplica {
    let probe = ProbeSpec { failures: Some(3), ..ProbeSpec::http("/alive") };
    let (ready, stop) = (Duration::from_secs(30), Duration::from_secs(10));
    LiveReplica {
        host: host(on),
        replica: Replica { name: name.into(), address: ([10, 0, 0, 1], 3000).into() },
        network: None,
        deployment: "01jd0000000000000000000000".parse().unwrap(),
        terms: Arc::new(Terms { probe, protocol: cutover_core::ApplicationProtocol::Http1, ready, stop }),
    }
}

/// Rounds, and a note as the one who restarts keeps it.
struct Played {
    rounds: Rounds,
    note: WatchNote,
    /// What was started anew, and at which second.
    restarts: Vec<(String, u64)>,
}

impl Played {
    fn of(live: &[LiveReplica]) -> Self {
        let (mut rounds, note) = (Rounds::default(), WatchNote::default());
        rounds.take_in(live.to_vec(), &note, START);
        Self { rounds, note, restarts: Vec::new() }
    }

    /// Plays the seconds from one to another, in steps of a tenth. Every question is answered at once, every restart is done at once.
    fn play(&mut self, seconds: std::ops::Range<u64>, answer: impl Fn(&str, u64) -> Heard) {
        for tenth in seconds.start * 10..seconds.end * 10 {
            let (now, second) = (START.after(Duration::from_millis(tenth * 100)), tenth / 10);
            for question in self.rounds.due(now) {
                let heard = answer(&question.live.replica.name, second);
                self.rounds.hear(&question, now, heard, now);
            }
            for failed in self.rounds.restarts_due(now) {
                let LiveReplica { host, replica, .. } = &*failed.live;
                assert!(failed.times >= 3 && failed.said == "503", "{failed:?}");
                self.restarts.push((replica.name.clone(), second));
                let restarted = self.note.add(&host.name, &replica.name, now, &failed.said);
                assert_eq!(self.rounds.restarted(failed.id, Restart::Done(restarted), now), None);
            }
        }
    }

    fn restarted(&self) -> Vec<&str> {
        self.restarts.iter().map(|(name, _)| name.as_str()).collect()
    }
}

fn bad() -> Heard {
    Heard::Bad("503".to_owned())
}

#[test]
fn each_is_asked_once_in_a_period_and_they_are_spread_over_it() {
    let all: Vec<LiveReplica> = (0..1000).map(|n| live("a", &format!("web-{n}"))).collect();
    let mut rounds = Rounds::default();
    rounds.take_in(all, &WatchNote::default(), START);
    let mut asked: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut most = 0;
    for tenth in 0..30 {
        let now = START.after(Duration::from_millis(tenth * 100));
        let questions = rounds.due(now);
        most = most.max(questions.len());
        for question in &questions {
            asked.entry(question.id).or_default().push(question.due.0);
            rounds.hear(question, now, Heard::Good, now);
        }
    }
    assert!(most < 200, "{most} at once");
    assert_eq!(asked.len(), 1000);
    for due in asked.values() {
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] == 1000), "a late answer moves nothing: {due:?}");
    }
}

#[test]
fn what_is_late_by_more_than_a_period_is_not_made_up_for() {
    let mut rounds = Rounds::default();
    rounds.take_in(vec![live("a", "web-1")], &WatchNote::default(), START);
    let question = rounds.due(at(1)).remove(0);
    assert_eq!(rounds.next(at(1)), None, "it is being asked");
    rounds.hear(&question, at(1), Heard::Good, at(60));
    assert_eq!(rounds.next(at(60)), Some(at(60)));
    let question = rounds.due(at(60)).remove(0);
    rounds.hear(&question, at(60), Heard::Good, at(60));
    assert_eq!(rounds.next(at(60)), Some(at(61)));
}

#[test]
fn one_that_fails_is_started_anew_and_gets_its_time_and_ever_more_distance() {
    let mut played = Played::of(&[live("a", "web-1")]);
    played.play(0..10, |_, _| Heard::Good);
    played.play(10..12, |_, _| bad());
    played.play(12..20, |_, _| Heard::Good);
    assert!(played.restarts.is_empty(), "two bad answers are none");
    played.play(20..600, |_, _| bad());
    let times: Vec<u64> = played.restarts.iter().map(|(_, second)| *second).collect();
    // The time to get ready and three bad answers are 32 s, until the distance is longer.
    assert_eq!(times, [22, 54, 86, 126, 206, 366], "{times:?}");
}

#[test]
fn a_good_answer_ends_the_time_that_one_gets() {
    let mut played = Played::of(&[live("a", "web-1")]);
    played.play(0..3, |_, _| bad());
    played.play(3..5, |_, _| bad());
    played.play(5..6, |_, _| Heard::Good);
    played.play(6..20, |_, _| bad());
    assert_eq!(played.restarts, [("web-1".to_owned(), 2), ("web-1".to_owned(), 12)], "10 s after the first");
}

#[test]
fn of_a_host_one_at_a_time_and_the_next_once_that_one_answers_well_again() {
    let mut played = Played::of(&[live("a", "web-1"), live("a", "web-2"), live("b", "web-3")]);
    played.play(0..20, |_, _| bad());
    let mut first = played.restarted();
    first.sort_unstable();
    let on_a = first[0].to_owned();
    assert_eq!((first.len(), first[1]), (2, "web-3"), "one of each host");
    played.play(20..25, |name, _| if name == on_a { Heard::Good } else { bad() });
    assert_eq!(played.restarts.len(), 3);
    assert!(![on_a.as_str(), "web-3"].contains(&played.restarted()[2]), "{:?}", played.restarts);
}

#[test]
fn one_that_never_gets_well_does_not_keep_the_others_from_it() {
    let mut played = Played::of(&[live("a", "web-1"), live("a", "web-2")]);
    played.play(0..120, |_, _| bad());
    for name in ["web-1", "web-2"] {
        assert!(played.restarted().contains(&name), "{:?}", played.restarts);
    }
    let at: Vec<u64> = played.restarts.iter().map(|(_, second)| *second).collect();
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 30), "each has its time alone: {at:?}");
}

#[test]
fn what_was_not_asked_and_what_only_is_observed_starts_nothing_anew() {
    let mut observed = live("a", "web-1");
    let terms = Terms::clone(&observed.terms);
    observed.terms = Arc::new(Terms { probe: ProbeSpec { failures: None, ..terms.probe.clone() }, ..terms });
    let mut played = Played::of(&[observed]);
    played.play(0..100, |_, _| bad());
    assert!(played.restarts.is_empty());
    let mut played = Played::of(&[live("a", "web-1")]);
    played.play(0..100, |_, second| if second % 3 == 2 { Heard::Nothing } else { bad() });
    assert_eq!(
        played.restarts.first().unwrap().1,
        3,
        "a host that was lost is no answer, and takes none back"
    );
}

#[test]
fn an_answer_to_what_was_asked_before_the_restart_says_nothing_of_it() {
    let mut rounds = Rounds::default();
    rounds.take_in(vec![live("a", "web-1"), live("a", "web-2")], &WatchNote::default(), START);
    let fail = |rounds: &mut Rounds, until: u64| {
        for second in 1..until {
            for question in rounds.due(at(second)) {
                rounds.hear(&question, at(second), bad(), at(second));
            }
        }
    };
    fail(&mut rounds, 4);
    let failed = rounds.restarts_due(at(4)).remove(0);
    let asked = rounds.due(at(4));
    assert!(rounds.restarts_due(at(4)).is_empty(), "the other one waits");
    let restarted = WatchNote::default().add(&failed.live.host.name, "web", at(5), "503");
    rounds.restarted(failed.id, Restart::Done(restarted), at(5));
    for question in &asked {
        let heard = if question.id == failed.id { Heard::Good } else { bad() };
        rounds.hear(question, at(4), heard, at(6));
    }
    fail(&mut rounds, 12);
    assert!(rounds.restarts_due(at(12)).is_empty(), "the first one has not answered since");
}

#[test]
fn a_refusal_is_told_once_and_the_next_try_waits() {
    let mut rounds = Rounds::default();
    rounds.take_in(vec![live("a", "web-1")], &WatchNote::default(), START);
    for second in 1..=3 {
        let question = rounds.due(at(second)).remove(0);
        rounds.hear(&question, at(second), bad(), at(second));
    }
    let mut refuse = |second, reason: &str| {
        let failed = rounds.restarts_due(at(second));
        failed
            .first()
            .map(|failed| rounds.restarted(failed.id, Restart::Refused(reason.to_owned()), at(second)))
    };
    assert_eq!(refuse(4, "deployment"), Some(Some("deployment".to_owned())));
    assert_eq!(refuse(5, "deployment"), None);
    assert_eq!(refuse(14, "deployment"), Some(None));
    assert_eq!(refuse(24, "lease"), Some(Some("lease".to_owned())));
}

#[test]
fn one_that_somebody_else_has_started_gets_the_rest_of_its_time() {
    let mut rounds = Rounds::default();
    rounds.take_in(vec![live("a", "web-1")], &WatchNote::default(), START);
    let mut play = |seconds: std::ops::Range<u64>| {
        for second in seconds {
            for question in rounds.due(at(second)) {
                rounds.hear(&question, at(second), bad(), at(second));
            }
            if let Some(failed) = rounds.restarts_due(at(second)).first() {
                rounds.restarted(failed.id, Restart::Young(Duration::from_secs(12)), at(second));
                return Some(second);
            }
        }
        None
    };
    assert_eq!(play(1..10), Some(3));
    assert_eq!(play(4..60), Some(17), "12 s, and three bad answers");
}

#[test]
fn another_holder_goes_on_with_what_is_noted() {
    let mut note = WatchNote::default();
    for second in [0, 40, 80, 120] {
        note.add(&"a".parse().unwrap(), "web-1", at(second), "503");
    }
    let mut played = Played { rounds: Rounds::default(), note, restarts: Vec::new() };
    played.rounds.take_in(vec![live("a", "web-1")], &played.note, at(125));
    played.play(125..300, |_, _| bad());
    let (_, second) = played.restarts.first().unwrap();
    assert_eq!(*second, 200, "80 s after the fourth");
    assert_eq!(played.note.restarts[0].times, 4 + u32::try_from(played.restarts.len()).unwrap());
}

#[test]
fn who_stays_live_goes_on_as_it_was_and_who_goes_is_forgotten() {
    let (one, two, three) = (live("a", "web-1"), live("a", "web-2"), live("a", "web-3"));
    let mut rounds = Rounds::default();
    rounds.take_in(vec![one.clone(), two], &WatchNote::default(), START);
    let questions = rounds.due(at(1));
    rounds.take_in(vec![one, three], &WatchNote::default(), at(1));
    for question in &questions {
        rounds.hear(question, at(1), Heard::Good, at(1));
    }
    let stays: Vec<bool> = questions.iter().map(|question| rounds.has(question.id)).collect();
    assert_eq!(stays.iter().filter(|stays| **stays).count(), 1);
    let names: BTreeSet<String> =
        rounds.due(at(3)).into_iter().map(|question| question.live.replica.name.clone()).collect();
    assert_eq!(names, ["web-1", "web-3"].map(str::to_owned).into());
}

#[test]
fn nothing_is_asked_after_a_restart_before_its_delay_is_over() {
    let mut delayed = live("a", "web-1");
    let terms = Terms::clone(&delayed.terms);
    let probe = ProbeSpec { initial_delay: Span::seconds(7), ..terms.probe.clone() };
    delayed.terms = Arc::new(Terms { probe, ..terms });
    let mut rounds = Rounds::default();
    rounds.take_in(vec![delayed], &WatchNote::default(), START);
    let mut asked = Vec::new();
    for second in 1..15 {
        for question in rounds.due(at(second)) {
            asked.push(second);
            rounds.hear(&question, at(second), bad(), at(second));
        }
        for failed in rounds.restarts_due(at(second)) {
            let restarted = WatchNote::default().add(&failed.live.host.name, "web-1", at(second), "503");
            rounds.restarted(failed.id, Restart::Done(restarted), at(second));
        }
    }
    assert_eq!(asked[..3], [1, 2, 3]);
    assert!(asked[3] >= 10, "{asked:?}");
}

#[test]
fn what_docker_has_started_anew_is_news_once_and_not_what_was_noted_before() {
    let mut rounds = Rounds::default();
    rounds.take_in(vec![live("a", "embedder-1")], &WatchNote::default(), START);
    let id = 1;
    assert!(rounds.exits(id, 0).is_none());
    let failed = rounds.exits(id, 2).unwrap();
    assert!(failed.exited && failed.live.replica.name == "embedder-1");
    assert!(rounds.exits(id, 2).is_none(), "it was told");
    // Somebody has started it, and Docker counts from 0 again.
    assert!(rounds.exits(id, 0).is_none() && rounds.exits(id, 1).is_some());

    let mut note = WatchNote::default();
    note.add(&host("a").name, "embedder-1", at(1), "it exited with code 1");
    let mut later = Rounds::default();
    later.take_in(vec![live("a", "embedder-1")], &note, START);
    assert!(later.exits(id, 3).is_none(), "another holder has noted it");
    assert!(later.exits(id, 4).is_some());
    let mut unknown = Rounds::default();
    unknown.take_in(vec![live("a", "embedder-1")], &WatchNote::default(), START);
    assert!(unknown.exits(id, 3).is_some(), "nobody has");
}
