//! Chance, all of it from one seed.

/// A seeded generator of what may happen.
#[derive(Debug)]
pub(crate) struct Chance(fastrand::Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// How many of so many happen, each with a probability.
    pub(crate) fn happen(&mut self, of: u64, probability: f64) -> u64 {
        if probability <= 0.0 {
            return 0;
        }
        if probability >= 1.0 {
            return of;
        }
        if probability > 0.1 {
            return (0..of).map(|_| u64::from(self.0.f64() < probability)).sum();
        }
        // From one that happens to the next: the distance is geometric.
        let scale = (-probability).ln_1p().recip();
        let (mut at, mut happened) = (0.0, 0);
        loop {
            at += (self.0.f64().ln() * scale).floor() + 1.0;
            if at > of as f64 {
                return happened;
            }
            happened += 1;
        }
    }

    /// One of the table's places.
    pub(crate) fn place(&mut self, table: &Table) -> usize {
        let place = self.0.usize(..table.places.len());
        let (own, other) = table.places[place];
        if self.0.f64() < own { place } else { other }
    }
}

/// Places with their probabilities, to be drawn from in one step (Walker's alias method, as Vose builds it).
#[derive(Debug)]
pub(crate) struct Table {
    places: Vec<(f64, usize)>,
}

impl Table {
    pub(crate) fn new(probabilities: &[f64]) -> Self {
        let count = probabilities.len();
        let mut left: Vec<_> = probabilities.iter().map(|probability| probability * count as f64).collect();
        let mut places: Vec<_> = (0..count).map(|place| (1.0, place)).collect();
        let (mut small, mut large): (Vec<_>, Vec<_>) = (0..count).partition(|place| left[*place] < 1.0);
        while let (Some(less), Some(more)) = (small.pop(), large.last().copied()) {
            places[less] = (left[less], more);
            left[more] -= 1.0 - left[less];
            if left[more] < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        Self { places }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_happen_as_are_expected() {
        let mut chance = Chance::new(1);
        for (of, probability) in [(1_000, 0.01), (50, 0.5), (10_000, 0.05)] {
            let mean = (0..2_000).map(|_| chance.happen(of, probability)).sum::<u64>() as f64 / 2_000.0;
            let expected = of as f64 * probability;
            assert!((mean - expected).abs() < 5.0 * (expected / 2_000.0).sqrt(), "{mean} {expected}");
        }
        assert_eq!((chance.happen(7, 0.0), chance.happen(7, 1.0)), (0, 7));
    }

    #[test]
    fn places_are_drawn_by_their_probabilities() {
        let mut chance = Chance::new(2);
        let probabilities = [0.5, 0.3, 0.15, 0.05, 0.0];
        let table = Table::new(&probabilities);
        let mut drawn = [0_u32; 5];
        (0..100_000).for_each(|_| drawn[chance.place(&table)] += 1);
        for (drawn, probability) in drawn.iter().zip(probabilities) {
            assert!((f64::from(*drawn) / 1e5 - probability).abs() < 0.01, "{drawn} {probability}");
        }
    }
}
