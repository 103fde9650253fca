use std::time::Duration;

use crate::e_process::EProcess;
use crate::margin::Line;
use crate::{Finding, Interval, Proportion, Rate, Subject};

/// One comparison as it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    subject: Subject,
    line: Line,
    alpha: f64,
    process: EProcess,
    highest: f64,
    new: Proportion,
    old: Proportion,
}

impl Comparison {
    pub(crate) fn new(subject: Subject, line: Line, alpha: f64) -> Self {
        let (new, old) = Default::default();
        Self { subject, line, alpha, process: EProcess::new(line), highest: 1.0, new, old }
    }

    pub(crate) fn update(&mut self, time: (Duration, Duration), new: Proportion, old: Proportion) {
        self.process.update(time, new, old);
        self.highest = self.highest.max(self.process.value());
        self.new += new;
        // What the old version did while the new one got nothing is not beside it.
        if new.of > 0 {
            self.old += old;
        }
    }

    /// Whether the new version got nothing that could be compared.
    pub(crate) const fn is_empty(&self) -> bool {
        self.new.of == 0
    }

    pub(crate) fn is_worse(&self) -> bool {
        self.highest >= self.threshold()
    }

    /// Rounded up, as what is written is what counts.
    fn threshold(&self) -> f64 {
        (1e3 / self.alpha - 1e-6).ceil() / 1e3
    }

    pub(crate) fn finding(&self) -> Finding {
        // Half of the level for each rate: so both are inside at once.
        let rate = |seen| Rate { seen, interval: Interval::at_all_times(seen, self.alpha / 2.0) };
        Finding {
            subject: self.subject,
            new: rate(self.new),
            old: rate(self.old),
            tolerated: self.line,
            e_value: (1e3 * self.highest.min(Finding::MOST)).round() / 1e3,
            threshold: self.threshold(),
        }
    }
}
