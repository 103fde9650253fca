//! Some hundred days with every test run, and the proof that the simulation can fail. Many more: `make simulate`.
#![allow(clippy::unwrap_used, clippy::panic)]

use clap::ValueEnum;
use cutover_simulation::{Flaw, Happening, Tally, run};

/// Plays seeds; panics at the first violation, with how to see it.
fn play(seeds: std::ops::Range<u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let report = run(seed, None, false);
        if let Some(violation) = report.violation {
            panic!("{violation}\nall of it: cargo run -p cutover-simulation -- --seed {seed} --trace");
        }
        tally.add(&report.tally);
    }
    tally
}

#[test]
fn the_invariants_hold() {
    let half = std::thread::spawn(|| play(0..300));
    let mut tally = play(300..600);
    tally.add(&half.join().unwrap());
    // Nothing of it means anything if nothing has happened.
    let counted = [
        Happening::Killed,
        Happening::Stopped,
        Happening::HostLost,
        Happening::TakenOver,
        Happening::VoidClaim,
        Happening::Outlived,
        Happening::Fenced,
        Happening::Replayed,
        Happening::RolledBackWarm,
        Happening::Forgiven,
        Happening::OwedClaimed,
        Happening::Paid,
        Happening::Cooled,
        Happening::Swept,
        Happening::Woken,
        Happening::TimerLost,
        Happening::Settling,
        Happening::Shared,
        Happening::Promoted,
        Happening::Overtaken,
        Happening::EndedLive,
        Happening::EndedTakenBack,
        Happening::EndedFailed,
        Happening::EndedAborted,
        Happening::EndedDegraded,
    ];
    for happening in counted {
        assert!(tally.of(happening) > 0, "{happening:?} has never happened:\n{tally}");
    }
}

#[test]
fn every_flaw_is_found() {
    let search = |flaw: Flaw| {
        std::thread::spawn(move || {
            (flaw, (0..2_000).find(|seed| run(*seed, Some(flaw), false).violation.is_some()))
        })
    };
    let searches: Vec<_> = Flaw::value_variants().iter().copied().map(search).collect();
    for search in searches {
        let (flaw, found) = search.join().unwrap();
        assert!(found.is_some(), "{flaw:?} is not found");
    }
}

#[test]
fn the_same_seed_is_the_same_day() {
    for seed in [1, 2, 3] {
        let (one, other) = (run(seed, None, true), run(seed, None, true));
        assert_eq!(one.transcript, other.transcript);
        assert_eq!(one.tally, other.tally);
    }
}
