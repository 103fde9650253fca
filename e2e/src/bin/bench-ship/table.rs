//! Medians, side by side.

use std::time::Duration;

use crate::sent::{Case, Sent};
use crate::way::Way;

/// Prints what was measured; each way's whole time also as a multiple of ours.
pub(crate) fn print(all: &[Sent]) {
    for case in Case::ALL {
        println!("\n{:<42}{:>9}{:>9}{:>9}{:>14}", case.name(), "out, s", "onto, s", "both", "wire, bytes");
        for way in Way::ALL {
            let of: Vec<&Sent> = all.iter().filter(|sent| sent.way == way && sent.case == case).collect();
            let seconds = |time: fn(&Sent) -> Duration| median(of.iter().map(|sent| time(sent)).collect());
            let (Some(out), Some(onto), Some(both), Some(wire)) = (
                seconds(|sent| sent.out),
                seconds(|sent| sent.onto),
                seconds(|sent| sent.out + sent.onto),
                median(of.iter().map(|sent| sent.wire).collect()),
            ) else {
                continue;
            };
            let [out, onto, both] = [out, onto, both].map(|time| format!("{:.2}", time.as_secs_f64()));
            println!("{:<42}{out:>9}{onto:>9}{both:>9}{wire:>14}", way.name());
        }
    }
}

/// The middle one; none of nothing.
fn median<T: Ord + Copy>(mut all: Vec<T>) -> Option<T> {
    all.sort();
    all.get(all.len() / 2).copied()
}
