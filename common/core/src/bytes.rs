//! Amounts of bytes for people.

use std::fmt;

/// An amount of bytes as people read it: `512 B`, `3.1 kB`, `20.0 MB`, in decimal units, as networks and Docker count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] =
            [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        let Some((size, unit)) = UNITS.iter().find(|(size, _)| self.0 >= *size) else {
            return write!(f, "{} B", self.0);
        };
        let tenths = u128::from(self.0) * 10 / u128::from(*size);
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn the_largest_fitting_unit_is_taken() {
        for (amount, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (3_149_000, "3.1 MB"),
            (u64::MAX, "18446744.0 TB"),
        ] {
            assert_eq!(Bytes(amount).to_string(), text);
        }
    }
}
