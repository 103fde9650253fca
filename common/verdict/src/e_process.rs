use std::time::Duration;

use crate::Proportion;
use crate::alternative::Alternative;
use crate::dispersion::Dispersion;
use crate::margin::Line;

/// Old rates that are thought of. They hardly matter where nothing is tolerated: what counts then is whose the failures are.
const OLD_RATES: [f64; 5] = [0.0005, 0.005, 0.03, 0.15, 0.5];

/// How many times the odds of what is tolerated the new version's are.
const ODDS: [f64; 6] = [1.5, 2.5, 5.0, 12.0, 40.0, 1_000.0];

/// Of half the stake, so many of the new version's trials make a half wait for what comes later.
const PATIENCE: f64 = 1_000.0;

/// Wealth beyond which nothing is to be proven any more; so that it stays a number.
const MOST: f64 = 1e200;

/// The evidence that the new version is worse than tolerated, as the wealth of somebody who bets on it at odds that are fair or
/// too low as long as it isn't: an e-process. It is above `1 / a` at any time with a probability of at most `a` (Ville 1939), and
/// so it may be looked at as often as one likes.
///
/// The stake is spread over alternatives, and over the time at which the harm begins: half of it is laid from the outset, the
/// rest little by little, so that an hour of good health doesn't hide what comes after it.
///
/// Where the old version's failures come together, each counts for less: the likelihood ratio's root is taken, of a degree that is known
/// before the window. Of a number whose expectation is at most 1 so is that of its root (Jensen), so nothing that is guaranteed is lost.
#[derive(Clone, Debug)]
pub(crate) struct EProcess {
    line: Line,
    /// Each with what has become of its part of the stake.
    bets: Vec<(Alternative, f64)>,
    /// Of the stake, what is laid by now.
    laid: f64,
    /// The new version's trials so far.
    trials: f64,
    dispersion: Dispersion,
}

impl EProcess {
    pub(crate) fn new(line: Line) -> Self {
        let mut bets = Vec::with_capacity(OLD_RATES.len() * ODDS.len());
        for old in OLD_RATES {
            let tolerated = line.at(old);
            // Where nearly all may fail, nothing can be worse.
            if tolerated < 0.95 {
                bets.extend(ODDS.map(|odds| {
                    let odds = odds * tolerated / (1.0 - tolerated);
                    (Alternative { new: odds / (1.0 + odds), old }, 0.0)
                }));
            }
        }
        Self { line, bets, laid: 0.0, trials: 0.0, dispersion: Dispersion::default() }
    }

    /// What was counted over one window.
    pub(crate) fn update(&mut self, (from, to): (Duration, Duration), new: Proportion, old: Proportion) {
        let factor = self.dispersion.factor();
        self.dispersion.update(from, to, old);
        // Nothing can be compared, and nothing is won or lost.
        if new.of == 0 || old.of == 0 {
            return;
        }
        let laid = 0.5 + 0.5 * (1.0 - 1.0 / (1.0 + (self.trials / PATIENCE).ln_1p()));
        let more = (laid - self.laid) / self.bets.len() as f64;
        for (alternative, wealth) in &mut self.bets {
            let won = (alternative.log_ratio(self.line, new, old) / factor).exp();
            *wealth = ((*wealth + more) * won).min(MOST);
        }
        self.laid = laid;
        self.trials += new.of as f64;
    }

    /// The wealth, of a stake of 1.
    pub(crate) fn value(&self) -> f64 {
        let won: f64 = self.bets.iter().map(|(_, wealth)| wealth).sum();
        if self.bets.is_empty() { 1.0 } else { won + 1.0 - self.laid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIAGONAL: Line = Line { slope: 1.0, rise: 0.0 };

    fn second(at: u64) -> (Duration, Duration) {
        (Duration::from_secs(at), Duration::from_secs(at + 1))
    }

    /// How many of how many: of the new version, and of the old one.
    type Seen = ((u64, u64), (u64, u64));

    fn after(line: Line, windows: &[Seen]) -> EProcess {
        let mut process = EProcess::new(line);
        for ((new, old), at) in windows.iter().zip(0..) {
            process.update(second(at), Proportion::new(new.0, new.1), Proportion::new(old.0, old.1));
        }
        process
    }

    #[test]
    fn nothing_is_known_of_nothing() {
        assert_eq!(EProcess::new(DIAGONAL).value(), 1.0);
        assert_eq!(after(DIAGONAL, &[((5, 5), (0, 0)), ((0, 0), (0, 95))]).value(), 1.0);
    }

    #[test]
    fn how_often_it_is_looked_at_hardly_matters() {
        let at_once = after(DIAGONAL, &[((20, 1_000), (190, 19_000))]).value();
        let mut bit_by_bit = EProcess::new(DIAGONAL);
        for n in 0..100 {
            bit_by_bit.update(
                second(n),
                Proportion::new(u64::from(n % 5 == 0), 10),
                Proportion::new(1 + n % 2 + n % 5 / 4, 190),
            );
        }
        let ratio = bit_by_bit.value() / at_once;
        assert!((0.2..5.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn an_hour_of_good_health_does_not_hide_what_comes_after_it() {
        let mut process = after(DIAGONAL, &[((1, 100), (19, 1_900)); 200]);
        assert!(process.value() < 1.0);
        let mut windows = 0;
        while process.value() < 200.0 {
            process.update(second(200 + windows), Proportion::new(10, 100), Proportion::new(19, 1_900));
            windows += 1;
        }
        assert!(windows <= 4, "{windows} windows with ten times as many failures");
    }

    #[test]
    fn what_is_tolerated_is_no_evidence_however_much_there_is_of_it() {
        let line = Line { slope: 1.0, rise: 0.001 };
        let process = after(line, &[((11, 10_000), (190, 190_000)); 200]);
        assert!(process.value() < 2.0, "{}", process.value());
        let worse = after(line, &[((20, 1_000), (190, 19_000)); 5]);
        assert!(worse.value() > 1_000.0, "{}", worse.value());
    }

    #[test]
    fn wealth_stays_a_number() {
        let process = after(DIAGONAL, &[((1_000_000, 1_000_000), (0, 1_000_000)); 50]);
        assert!(process.value().is_finite() && process.value() > 1e100);
    }
}
