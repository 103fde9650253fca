//! Amounts of bytes for people.

use std::fmt;
use std::str::FromStr;

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

/// A text that is no amount of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a size: write a number with a unit, such as 512m or 2g")]
pub struct InvalidSize(pub(crate) String);

/// Units are those of Docker, powers of 1024: `b`, `k`, `m`, `g`, `t`, also written `kb` or `KiB`.
impl FromStr for Bytes {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        parse(text).map(Self).ok_or_else(|| InvalidSize(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 0,
        "k" | "kb" | "ki" | "kib" => 10,
        "m" | "mb" | "mi" | "mib" => 20,
        "g" | "gb" | "gi" | "gib" => 30,
        "t" | "tb" | "ti" | "tib" => 40,
        _ => return None,
    };
    Some(decimal(number, 3)?.checked_mul(1 << shift)? / 1000)
}

/// A decimal number times ten to the `places`, exactly; none where it has more places than that.
pub(crate) fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').map_or((text, "0"), |(whole, fraction)| (whole, fraction));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > places {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
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
