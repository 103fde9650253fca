//! Medians, and the table of them.

use std::cmp::Ordering;
use std::time::Duration;

use cutover_core::Stage;

/// Medians of one kind of command.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// From the start of the command to its end.
    pub(crate) command: Duration,
    /// To the switch of the last proxy.
    pub(crate) switched: Option<Duration>,
    /// To the first answer of the new version.
    pub(crate) first_answer: Option<Duration>,
    pub(crate) stages: Vec<(Stage, Duration)>,
    /// How many times as long it took as what it is paired with: the median of the rounds' own ratios.
    pub(crate) ratio: Option<f64>,
}

impl Row {
    /// One of times alone.
    pub(crate) fn timed(name: &'static str, all: Vec<Duration>) -> Self {
        let command = median(all).unwrap_or_default();
        Self { name, command, switched: None, first_answer: None, stages: Vec::new(), ratio: None }
    }
}

/// What was measured before, of the real Kamal 2.12 on such hosts: command and first answer, in seconds.
const KAMAL: [(&str, f64, Option<f64>); 2] =
    [("Kamal 2.12: deploy, no build", 3.31, Some(2.4)), ("Kamal 2.12: rollback", 2.05, None)];

/// The middle one; none of nothing.
pub(crate) fn median(all: Vec<Duration>) -> Option<Duration> {
    middle(all, Duration::cmp)
}

/// The middle one by that order; none of nothing.
pub(crate) fn middle<T: Copy>(mut all: Vec<T>, order: impl Fn(&T, &T) -> Ordering) -> Option<T> {
    all.sort_by(order);
    all.get(all.len() / 2).copied()
}

/// Prints the table.
pub(crate) fn print(rows: &[Row]) {
    println!("\n{:<38}{:>9}{:>10}{:>14}   stages", "medians, seconds", "command", "switched", "first answer");
    for row in rows {
        let [command, switched, first] = [Some(row.command), row.switched, row.first_answer]
            .map(|time| time.map(|time| time.as_secs_f64()));
        print!("{:<38}{:>9}{:>10}{:>14}  ", row.name, seconds(command), seconds(switched), seconds(first));
        for (stage, time) in &row.stages {
            print!(" {stage} {:.2}", time.as_secs_f64());
        }
        if let Some(ratio) = row.ratio {
            print!(" ({ratio:.2} × one host, paired)");
        }
        println!();
    }
    for (name, command, first) in KAMAL {
        let (command, first) = (seconds(Some(command)), seconds(first));
        println!("{name:<38}{command:>9}{:>10}{first:>14}   measured before, not in this run", "");
    }
}

fn seconds(time: Option<f64>) -> String {
    time.map_or_else(String::new, |time| format!("{time:.2}"))
}
