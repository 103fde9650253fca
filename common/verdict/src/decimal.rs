/// A text that is not such a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {wanted}")]
pub struct InvalidDecimal {
    text: String,
    wanted: &'static str,
}

impl InvalidDecimal {
    pub(crate) fn new(text: &str, wanted: &'static str) -> Self {
        Self { text: text.to_owned(), wanted }
    }
}

/// A decimal number as a count of units, `10^-places` each; nothing where it has more places, or another form.
pub(crate) fn units(text: &str, places: usize) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || rest.len() > places || !digits(whole) || !digits(rest) {
        return None;
    }
    format!("{whole}{rest:0<places$}").parse().ok()
}

/// The number of so many units, without zeros behind its point that say nothing.
pub(crate) fn text(units: u32, places: usize) -> String {
    let digits = format!("{units:0>width$}", width = places + 1);
    let (whole, rest) = digits.split_at(digits.len() - places);
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { whole.to_owned() } else { format!("{whole}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_exactly_and_written_shortly() {
        for (written, places, expected) in
            [("0.1", 4, 1_000), ("5", 4, 50_000), ("1.25", 3, 1_250), ("0", 3, 0)]
        {
            assert_eq!(units(written, places), Some(expected));
            assert_eq!(text(expected, places), written);
        }
    }

    #[test]
    fn what_is_no_such_number_is_refused() {
        for written in ["", ".", ".5", "-1", "1e3", "0.00001", "1,5", "1.2.3", "99999999999"] {
            assert_eq!(units(written, 4), None, "{written}");
        }
    }
}
