//! Amounts of bytes for people.

/// `512 B`, `3.1 kB`, `20.0 MB`: decimal units, as networks and Docker count.
pub(crate) fn bytes(amount: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    UNITS.iter().find(|(size, _)| amount >= *size).map_or_else(
        || format!("{amount} B"),
        |(size, unit)| {
            let tenths = u128::from(amount) * 10 / u128::from(*size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn the_largest_fitting_unit_is_taken() {
        for (amount, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (3_149_000, "3.1 MB"),
            (u64::MAX, "18446744.0 TB"),
        ] {
            assert_eq!(bytes(amount), text);
        }
    }
}
