//! Leases: what one candidate does next, and that of many never two hold one at a time.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use cutover_core::{Lease, LeaseRecord, LeaseStep, LeaseTerms};
use proptest::prelude::*;

/// Plays what `me` sees and is told, one line for each; after it, what the candidate does next.
fn play(script: &str) {
    let mut lease = Lease::new("me".into(), LeaseTerms::default());
    let mut last = LeaseStep::Wait;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, expected) = line.split_once('→').unwrap();
        let words: Vec<&str> = event.split_whitespace().collect();
        let [time, event @ ..] = words.as_slice() else { panic!("{line}") };
        let at = Duration::from_secs(time.trim_end_matches('s').parse().unwrap());
        match event {
            [] => {}
            ["sees", "nothing"] => lease.see(None, at),
            ["sees", sequence, "rubbish"] => lease.see_rubbish(sequence.parse().unwrap(), at),
            ["sees", sequence, "of", holder, rest @ ..] => {
                let epoch = rest.last().map(|epoch| epoch.parse().unwrap());
                let holder = (*holder != "nobody").then(|| (*holder).to_owned());
                lease.see(Some((sequence.parse().unwrap(), LeaseRecord { holder, epoch })), at);
            }
            ["stored", "at", sequence, "sent", sent] => {
                let sent = Duration::from_secs(sent.trim_end_matches('s').parse().unwrap());
                lease.stored(last, sequence.parse().unwrap(), sent);
            }
            ["refused"] => lease.refused(),
            _ => panic!("{line}"),
        }
        let step = lease.step(at);
        let held = lease.epoch(at).map(|epoch| format!(", holds {epoch}")).unwrap_or_default();
        let step = match step {
            LeaseStep::Wait => format!("wait{held}"),
            LeaseStep::Take { expected } => format!("take after {expected}{held}"),
            LeaseStep::Renew { expected, epoch } => format!("renew {epoch} after {expected}{held}"),
            LeaseStep::Lost => format!("lost{held}"),
        };
        assert_eq!(step, expected.trim(), "{line}");
        last = lease.clone().step(at);
    }
}

#[test]
fn rubbish_frees_nothing_and_keeps_nothing() {
    // A holder goes on, and writes after it.
    play(
        "
        0s   sees nothing             → take after 0
        1s   stored at 7 sent 0s      → wait, holds 7
        2s   sees 8 rubbish           → wait, holds 7
        5s                            → renew 7 after 8, holds 7
        6s   sees 9 rubbish           → renew 7 after 9, holds 7
        12s                           → lost
        ",
    );
    // A holder that is gone is replaced, however much comes after its last record.
    play(
        "
        0s   sees 7 of other          → wait
        10s  sees 8 rubbish           → wait
        14s  sees 9 rubbish           → wait
        15s                           → take after 9
        ",
    );
    // What was free may have been taken before it came; so may what nothing is known of.
    play(
        "
        0s   sees 7 of nobody 3       → take after 7
        1s   sees 8 rubbish           → wait
        15s  sees 9 rubbish           → wait
        16s                           → take after 9
        ",
    );
    play(
        "
        0s   sees 8 rubbish           → wait
        9s   sees 9 of other          → wait
        15s                           → wait
        24s                           → take after 9
        ",
    );
    // One's own, whose answer was lost.
    play(
        "
        0s   sees 7 of me             → renew 7 after 7
        1s   sees 8 rubbish           → renew 7 after 8
        ",
    );
}

#[test]
fn what_nobody_has_is_taken_and_renewed() {
    play(
        "
        0s                            → wait
        0s   sees nothing             → take after 0
        1s   stored at 7 sent 0s      → wait, holds 7
        4s   sees 7 of me             → wait, holds 7
        5s                            → renew 7 after 7, holds 7
        6s   stored at 9 sent 5s      → wait, holds 7
        10s                           → renew 7 after 9, holds 7
        ",
    );
}

#[test]
fn what_another_renews_is_left_alone_and_what_stands_for_a_lease_time_is_taken() {
    play(
        "
        0s   sees 7 of other          → wait
        10s  sees 8 of other epoch 7  → wait
        20s  sees 8 of other epoch 7  → wait
        24s                           → wait
        25s                           → take after 8
        25s  stored at 9 sent 25s     → wait, holds 9
        ",
    );
}

#[test]
fn what_was_given_back_is_taken_at_once() {
    play(
        "
        0s   sees 7 of other           → wait
        1s   sees 8 of nobody epoch 7  → take after 8
        ",
    );
}

#[test]
fn who_was_faster_has_it() {
    play(
        "
        0s   sees nothing             → take after 0
        0s   refused                  → wait
        1s   sees 7 of other          → wait
        16s                           → take after 7
        ",
    );
}

#[test]
fn what_another_has_taken_is_lost() {
    play(
        "
        0s   sees nothing             → take after 0
        0s   stored at 7 sent 0s      → wait, holds 7
        5s                            → renew 7 after 7, holds 7
        5s   refused                  → lost
        5s                            → wait
        6s   sees 8 of other          → wait
        ",
    );
    play(
        "
        0s   sees nothing             → take after 0
        0s   stored at 7 sent 0s      → wait, holds 7
        5s   sees 8 of other          → lost
        5s                            → wait
        20s                           → take after 8
        ",
    );
}

#[test]
fn what_could_not_be_renewed_is_given_up_before_others_may_take_it() {
    play(
        "
        0s   sees nothing             → take after 0
        2s   stored at 7 sent 0s      → wait, holds 7
        11s                           → renew 7 after 7, holds 7
        12s                           → lost
        13s                           → wait
        14s  sees 7 of me             → renew 7 after 7
        15s  stored at 8 sent 14s     → wait, holds 7
        ",
    );
}

#[test]
fn an_answer_that_comes_too_late_is_worth_nothing() {
    play(
        "
        0s   sees nothing             → take after 0
        40s  stored at 7 sent 0s      → lost
        41s  sees 8 of other          → wait
        ",
    );
}

#[test]
fn a_record_whose_answer_was_lost_is_known_again() {
    play(
        "
        0s   sees nothing             → take after 0
        5s   sees 7 of me             → renew 7 after 7
        5s   stored at 8 sent 5s      → wait, holds 7
        10s                           → renew 7 after 8, holds 7
        11s  sees 9 of me epoch 7     → renew 7 after 9, holds 7
        ",
    );
}

#[test]
fn a_replica_that_is_behind_says_nothing() {
    play(
        "
        0s   sees 7 of other          → wait
        1s   sees nothing             → wait
        2s   sees 6 of nobody         → wait
        15s                           → take after 7
        15s  stored at 8 sent 15s     → wait, holds 8
        16s  sees 7 of other          → wait, holds 8
        ",
    );
}

#[test]
fn records_that_are_gone_with_their_stream_stop_nobody_for_good() {
    play(
        "
        0s   sees 100 of other        → wait
        5s   sees nothing             → wait
        15s                           → take after 100
        15s  refused                  → wait
        20s  sees nothing             → take after 0
        ",
    );
}

#[test]
fn what_is_held_can_be_given_back() {
    let mut lease = Lease::new("me".into(), LeaseTerms::default());
    assert_eq!(lease.give_back(), None);
    lease.see(None, Duration::ZERO);
    let step = lease.step(Duration::ZERO);
    let taken = LeaseRecord { holder: Some("me".into()), epoch: None };
    assert_eq!(lease.record(step), Some((0, taken)));
    lease.stored(step, 7, Duration::ZERO);
    assert_eq!(lease.give_back(), Some((7, LeaseRecord { holder: None, epoch: Some(7) })));
    assert_eq!(lease.epoch(Duration::ZERO), None);
}

#[test]
fn a_record_says_under_which_epoch_the_lease_is_held() {
    let record = |holder: Option<&str>, epoch| LeaseRecord { holder: holder.map(str::to_owned), epoch };
    assert!(record(Some("me"), None).is_held_under(7, 7), "its own sequence is the epoch");
    assert!(record(Some("me"), Some(7)).is_held_under(7, 9));
    assert!(!record(Some("other"), None).is_held_under(7, 9));
    assert!(!record(None, Some(7)).is_held_under(7, 9), "it was given back");
}

/// How a candidate fares.
#[derive(Clone, Debug)]
struct Fate {
    /// How fast its clock goes, in percent.
    clock: u64,
    /// How long each of its messages is on its way, and each answer, in tenths of a second; the numbers are used in turn.
    delays: Vec<u64>,
    /// Which of its answers are lost, in turn.
    lost: Vec<bool>,
    /// When it stands still, and for how long, in tenths of a second.
    pauses: Vec<(u64, u64)>,
}

fn fate() -> impl Strategy<Value = Fate> {
    let delays = prop::collection::vec(prop_oneof![4 => 0..3_u64, 1 => 0..60_u64], 1..8);
    let lost = prop::collection::vec(prop::bool::weighted(0.1), 1..8);
    let pauses = prop::collection::vec((0..TROUBLE - 400, 1..400_u64), 0..4);
    (92..108_u64, delays, lost, pauses).prop_map(|(clock, delays, lost, pauses)| Fate {
        clock,
        delays,
        lost,
        pauses,
    })
}

/// After so many tenths of a second all goes well.
const TROUBLE: u64 = 1600;

/// A candidate, and the write that it waits for.
struct Candidate {
    lease: Lease,
    fate: Fate,
    turn: usize,
    next_look: u64,
    write: Option<Write>,
}

struct Write {
    step: LeaseStep,
    sent: Duration,
    arrives: u64,
    answered: u64,
    answer: Option<Option<u64>>,
}

impl Candidate {
    fn clock(&self, tenth: u64) -> Duration {
        Duration::from_millis(tenth * self.fate.clock)
    }

    fn stands_still(&self, tenth: u64) -> bool {
        self.fate.pauses.iter().any(|(from, length)| (*from..from + length).contains(&tenth))
    }

    fn delay(&mut self, tenth: u64) -> u64 {
        self.turn += 1;
        if tenth > TROUBLE { 0 } else { self.fate.delays[self.turn % self.fate.delays.len()] }
    }

    fn takes_answer(&mut self, tenth: u64) {
        let Some(write) = self.write.take_if(|write| write.answered <= tenth) else { return };
        self.turn += 1;
        match write.answer.unwrap() {
            _ if tenth <= TROUBLE && self.fate.lost[self.turn % self.fate.lost.len()] => {}
            Some(sequence) => self.lease.stored(write.step, sequence, write.sent),
            None => self.lease.refused(),
        }
    }

    fn looks(&mut self, tenth: u64, records: &[LeaseRecord]) {
        if self.next_look > tenth || self.write.is_some() {
            return;
        }
        self.next_look = tenth + 5;
        // A replica that is behind by the last record may have answered.
        let behind = usize::from(self.delay(tenth) % 7 == 6);
        let known = records.len().saturating_sub(behind);
        let last = known.checked_sub(1).map(|index| (known as u64, records[index].clone()));
        self.lease.see(last, self.clock(tenth));
        let sent = self.clock(tenth);
        let step = self.lease.step(sent);
        if self.lease.record(step).is_some() {
            let arrives = tenth + 1 + self.delay(tenth);
            let answered = arrives + self.delay(tenth);
            self.write = Some(Write { step, sent, arrives, answered, answer: None });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn never_two_hold_it_and_somebody_does_once_all_goes_well(fates in prop::collection::vec(fate(), 2..5)) {
        let mut records: Vec<LeaseRecord> = Vec::new();
        let mut candidates: Vec<Candidate> = fates
            .into_iter()
            .enumerate()
            .map(|(index, fate)| {
                let lease = Lease::new(format!("c{index}"), LeaseTerms::default());
                Candidate { lease, fate, turn: index, next_look: index as u64, write: None }
            })
            .collect();
        let mut last = (0, 0);
        let mut holders: Vec<(u64, usize)> = Vec::new();
        for tenth in 0..TROUBLE + 400 {
            for candidate in &mut candidates {
                // What is on its way arrives, even when its sender stands still.
                if let Some(write) = candidate.write.as_mut().filter(|write| write.arrives == tenth) {
                    let (expected, record) = candidate.lease.record(write.step).unwrap();
                    let is_last = records.len() as u64 == expected;
                    if is_last {
                        records.push(record);
                    }
                    write.answer = Some(is_last.then_some(records.len() as u64));
                }
                if !candidate.stands_still(tenth) {
                    candidate.takes_answer(tenth);
                    candidate.looks(tenth, &records);
                }
            }
            let epochs = candidates.iter().map(|candidate| candidate.lease.epoch(candidate.clock(tenth)));
            holders = epochs.enumerate().filter_map(|(index, epoch)| Some((epoch?, index))).collect();
            prop_assert!(holders.len() <= 1, "{holders:?} at {tenth}");
            if let Some(holder) = holders.first() {
                prop_assert!(*holder == last || holder.0 > last.0, "{holder:?} after {last:?}");
                last = *holder;
            }
        }
        prop_assert_eq!(holders.len(), 1);
    }
}
