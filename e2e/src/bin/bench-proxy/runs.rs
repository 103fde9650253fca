//! What was measured of each proxy in each round, and the table of it.

use crate::peer::Peer;

/// What the others are compared with, where it takes part.
const BASE: Peer = Peer::Nginx;

/// The runs of all proxies, in the order of their first ones.
pub(crate) struct Runs<M> {
    all: Vec<(Peer, Vec<M>)>,
}

/// A column of the table: its name, what of a run it shows, and how that of all runs is brought together.
pub(crate) struct Column<M> {
    name: &'static str,
    of: fn(&M) -> f64,
    kind: Kind,
}

enum Kind {
    /// The middle one, with so many digits after the point.
    Median(usize),
    /// The middle one of the ratios to the base in the same round.
    Ratio,
    /// From the least to the greatest one, in percent of the middle one.
    Spread,
    /// The sum of all.
    Total,
    /// The greatest one, with so many digits after the point.
    Most(usize),
}

impl<M> Column<M> {
    pub(crate) fn median(name: &'static str, digits: usize, of: fn(&M) -> f64) -> Self {
        Self { name, of, kind: Kind::Median(digits) }
    }

    pub(crate) fn ratio(of: fn(&M) -> f64) -> Self {
        Self { name: "÷", of, kind: Kind::Ratio }
    }

    pub(crate) fn spread(of: fn(&M) -> f64) -> Self {
        Self { name: "spread %", of, kind: Kind::Spread }
    }

    pub(crate) fn total(name: &'static str, of: fn(&M) -> f64) -> Self {
        Self { name, of, kind: Kind::Total }
    }

    pub(crate) fn most(name: &'static str, digits: usize, of: fn(&M) -> f64) -> Self {
        Self { name, of, kind: Kind::Most(digits) }
    }

    fn title(&self, base: Peer) -> String {
        if matches!(self.kind, Kind::Ratio) { format!("÷ {base}") } else { self.name.to_owned() }
    }

    fn cell(&self, runs: &[M], base: &[M]) -> String {
        let all: Vec<f64> = runs.iter().map(self.of).collect();
        let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        match self.kind {
            Kind::Median(digits) => median(all).map(|value| format!("{value:.digits$}")),
            Kind::Ratio => {
                let base = base.iter().map(self.of);
                median(all.iter().zip(base).map(|(value, base)| value / base).collect())
                    .map(|ratio| format!("{ratio:.2}"))
            }
            Kind::Spread => median(all).map(|middle| format!("{:.1}", 100.0 * (most - least) / middle)),
            Kind::Total => Some(format!("{:.0}", all.iter().sum::<f64>())),
            Kind::Most(digits) => all.first().map(|_| format!("{most:.digits$}")),
        }
        .unwrap_or_else(|| "-".to_owned())
    }
}

impl<M> Runs<M> {
    pub(crate) fn new() -> Self {
        Self { all: Vec::new() }
    }

    /// A row for a proxy, even where nothing could be measured of it.
    pub(crate) fn row(&mut self, peer: Peer) -> &mut Vec<M> {
        let index = self.all.iter().position(|(of, _)| *of == peer).unwrap_or(self.all.len());
        if index == self.all.len() {
            self.all.push((peer, Vec::new()));
        }
        &mut self.all[index].1
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (Peer, &[M])> {
        self.all.iter().map(|(peer, runs)| (*peer, runs.as_slice()))
    }

    /// Prints a table in Markdown, as it is read in a terminal. A row without runs says why there are none.
    pub(crate) fn print(&self, title: &str, without: &str, columns: &[Column<M>]) {
        let measured = |peer| self.all.iter().find(|(of, runs)| *of == peer && !runs.is_empty());
        let first = self.all.iter().find(|(_, runs)| !runs.is_empty());
        let Some((base, base_runs)) = measured(BASE).or(first) else {
            println!("\n{title}\n\n{without}");
            return;
        };
        let titles = columns.iter().map(|column| column.title(*base));
        let mut rows: Vec<Vec<String>> = vec![std::iter::once(String::new()).chain(titles).collect()];
        let mut notes = Vec::new();
        for (peer, runs) in &self.all {
            if runs.is_empty() {
                notes.push(format!("{peer}: {without}"));
                continue;
            }
            let cells = columns.iter().map(|column| column.cell(runs, base_runs));
            rows.push(std::iter::once(peer.to_string()).chain(cells).collect());
        }
        println!("\n{title}\n");
        let widths: Vec<usize> = (0..=columns.len())
            .map(|index| rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max())
            .map(Option::unwrap_or_default)
            .collect();
        for (index, row) in rows.iter().enumerate() {
            println!("{}", line(row, &widths));
            if index == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                println!("{}", line(&rules, &widths));
            }
        }
        for note in notes {
            println!("\n{note}");
        }
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).enumerate().map(|(index, (cell, width))| match index {
        0 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    });
    format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
}

/// The middle one, or the mean of the two in the middle; none of nothing.
fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    let (low, high) = (all.len().checked_sub(1)? / 2, all.len() / 2);
    Some(f64::midpoint(*all.get(low)?, *all.get(high)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_one_of_an_odd_number_and_between_two_of_an_even_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_ratio_is_the_middle_of_those_within_a_round() {
        let ratio = Column::ratio(|run: &f64| *run);
        assert_eq!(ratio.cell(&[2.0, 40.0, 3.0], &[1.0, 10.0, 1.0]), "3.00");
    }
}
