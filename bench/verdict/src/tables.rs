use std::time::Duration;

use cutover_verdict::Outcome;

use crate::goals::Goals;
use crate::kayenta::Classification;
use crate::latency::Latency;
use crate::options::Options;
use crate::published;
use crate::scenario::{Scenario, Trouble};
use crate::trials::{Trials, Whose};

/// How soon versions that are worse are caught; counted each second.
pub(crate) fn power(options: &Options, goals: &mut Goals) {
    println!("Versions that are worse: {} of each, 100 requests/s for an hour, level 1 %.", options.worse);
    println!(
        "Until caught: requests to the new version and, of those, failed ones; over all, median and 90 %.\n"
    );
    println!(
        "{:<34}{:<24}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "", "caught", "requests", "90 %", "failed", "90 %", "seconds"
    );
    // Each with the requests of the new version by which nine of ten have to be caught.
    let all = [
        (Scenario::worse("1 % against 2 %, at 5 %", 0.05, 0.01, 0.02), 10_000),
        (Scenario::worse("1 % against 2 %, at 50 %", 0.5, 0.01, 0.02), 10_000),
        (Scenario::worse("0.1 % against 1 %, at 5 %", 0.05, 0.001, 0.01), 3_000),
        (Scenario::worse("0 against 2 %, at 5 %", 0.05, 0.0, 0.02), 1_000),
        (Scenario::worse("0 against 100 %, at 5 %", 0.05, 0.0, 1.0), 20),
        (
            Scenario::worse("all twice as slow, at 5 %", 0.05, 0.001, 0.001).latencies(Latency::usual(2.0)),
            1_000,
        ),
        (
            Scenario::worse("p99 doubled, rest alike, at 5 %", 0.05, 0.001, 0.001)
                .latencies(Latency::slow_tail()),
            10_000,
        ),
        (
            Scenario {
                good_until: Duration::from_secs(1_800),
                ..Scenario::worse("1 % against 5 % after 30 min", 0.05, 0.01, 0.05)
            },
            13_000,
        ),
    ];
    for ((scenario, most), seed) in all.into_iter().zip(options.seed..) {
        let trials = Trials::play(&scenario, &Whose::ALL, options.worse, 1, seed);
        for (at, whose) in Whose::ALL.into_iter().enumerate() {
            let number = |share, of: fn(&crate::trials::Caught) -> u64| {
                trials.quantile(whose, share, of).map_or_else(|| "-".to_owned(), |number| number.to_string())
            };
            println!(
                "{:<34}{:<24}{:>7.1} %{:>9}{:>9}{:>9}{:>9}{:>9}",
                if at == 0 { scenario.name } else { "" },
                whose.name(),
                100.0 * trials.share(whose),
                number(0.5, |caught| caught.requests),
                number(0.9, |caught| caught.requests),
                number(0.5, |caught| caught.failed),
                number(0.9, |caught| caught.failed),
                number(0.5, |caught| caught.seconds),
            );
        }
        let share = trials.share(Whose::Cutover);
        goals.require(share >= 0.99, || format!("{}: {:.1} % caught", scenario.name, 100.0 * share));
        let nine = trials.quantile(Whose::Cutover, 0.9, |caught| caught.requests);
        goals.require(nine.is_some_and(|nine| nine <= most), || {
            format!("{}: {nine:?} requests", scenario.name)
        });
        if scenario.failing == (0.02, 0.0) {
            let failed = trials.quantile(Whose::Cutover, 0.99, |caught| caught.failed);
            goals.require(failed.is_some_and(|failed| failed < 40), || {
                format!("{}: {failed:?} failed", scenario.name)
            });
        }
    }
}

/// How often healthy versions are called worse; looked at every twenty seconds.
pub(crate) fn false_alarms(options: &Options, goals: &mut Goals) {
    println!(
        "\nHealthy versions that were called worse, of {} of each: 100 requests/s for an hour, level 1 %,",
        options.healthy
    );
    println!("looked at every twenty seconds.\n");
    print!("{:<42}", "");
    Whose::ALL.iter().for_each(|whose| print!("{:>24}", whose.name()));
    println!();
    let bursts = |name| Scenario { trouble: Trouble::Bursts, ..Scenario::healthy(name, 0.05, 0.01) };
    let clumps = |name| Scenario { trouble: Trouble::Clumps, ..Scenario::healthy(name, 0.05, 0.01) };
    // Each with how many false alarms there may be: the level where it is guaranteed.
    let all = [
        (
            Scenario::healthy("1 % both, and latencies, at 5 %", 0.05, 0.01).latencies(Latency::usual(1.0)),
            0.01,
        ),
        (Scenario::healthy("5 % slower, at 5 %", 0.05, 0.001).latencies(Latency::usual(1.05)), 0.01),
        (Scenario::healthy("1 % both, at 50 %", 0.5, 0.01), 0.01),
        (Scenario::healthy("0.1 % both, at 5 %", 0.05, 0.001), 0.01),
        (Scenario::healthy("0 both, at 5 %", 0.05, 0.0), 0.01),
        (Scenario::healthy("20 % both, at 5 %", 0.05, 0.2), 0.01),
        (Scenario::worse("1 % and 1.05 %, at 5 %", 0.05, 0.01, 0.0105), 0.01),
        (Scenario::worse("1 % and 1.1 %: all that is tolerated", 0.05, 0.01, 0.011), 0.01),
        (bursts("1 % both, bursts of 20 % in both"), 0.01),
        (clumps("1 % both, failures five at a time"), 0.02),
    ];
    for ((scenario, most), seed) in all.into_iter().zip(options.seed + 100..) {
        let trials = Trials::play(&scenario, &Whose::ALL, options.healthy, 20, seed);
        print!("{:<42}", scenario.name);
        Whose::ALL.iter().for_each(|whose| print!("{:>22.2} %", 100.0 * trials.share(*whose)));
        println!("{}", if most > 0.01 { "  (not guaranteed)" } else { "" });
        let alarms = trials.share(Whose::Cutover);
        goals.require(alarms <= most, || format!("{}: {:.2} % false alarms", scenario.name, 100.0 * alarms));
    }
}

/// What Kayenta's users have published as missed.
pub(crate) fn published(goals: &mut Goals) {
    println!(
        "\nPublished misses of Kayenta, and what is said of them here: of the failures as counts (200 requests a point,"
    );
    println!("5 % of all, nothing tolerated), and of the points as a metrics server's answers.\n");
    println!("{:<42}{:>8}{:>12}{:>16}{:>16}", "", "issue", "Kayenta", "counts", "answers");
    for published in published::all() {
        let (theirs, counts, answers) = (published.kayentas(), published.as_counts(), published.as_answers());
        println!(
            "{:<42}{:>8}{:>12}{:>16}{:>16}",
            published.name,
            format!("#{}", published.issue),
            format!("{theirs:?}"),
            counts.to_string(),
            answers.to_string()
        );
        let missed = matches!(theirs, Classification::Pass | Classification::NoData);
        goals.require(missed, || format!("{}: Kayenta says {theirs:?}, its users Pass", published.name));
        goals.require(counts == Outcome::Fail, || format!("{}: {counts} by counts", published.name));
        goals.require(answers != Outcome::Pass, || format!("{}: passed by answers", published.name));
    }
}
