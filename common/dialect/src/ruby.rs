//! Plain scalars as Ruby's YAML reads them (YAML 1.1), and writes them again where they become texts.

use crate::reading::truth;

/// What becomes of a value without quotes in an environment. Most stay as they are.
pub(crate) fn as_text(plain: &str) -> String {
    if let Some(truth) = truth(plain) {
        return truth.to_string();
    }
    let (sign, number) = match plain.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", plain.strip_prefix('+').unwrap_or(plain)),
    };
    let digits: String = number.chars().filter(|c| !matches!(c, '_' | ',')).collect();
    let is_number = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && !digits.is_empty();
    if !is_number {
        return plain.to_owned();
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        let is_octal = digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b < b'8');
        if is_octal {
            let value = u64::from_str_radix(&digits, 8);
            return value.map_or_else(|_| plain.to_owned(), |value| format!("{sign}{value}"));
        }
        return if digits.starts_with('0') && digits.len() > 1 {
            plain.to_owned()
        } else {
            format!("{sign}{digits}")
        };
    }
    match digits.split_once('.') {
        Some((whole, fraction))
            if [whole, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit())) =>
        {
            let fraction = fraction.trim_end_matches('0');
            let whole = whole.trim_start_matches('0');
            // Beyond that, Ruby writes an exponent, or rounds.
            if whole.len() + fraction.len() > 15 || (whole.is_empty() && fraction.starts_with("0000")) {
                return plain.to_owned();
            }
            let or_zero = |part: &str| if part.is_empty() { "0".to_owned() } else { part.to_owned() };
            format!("{sign}{}.{}", or_zero(whole), or_zero(fraction))
        }
        _ => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_what_ruby_makes_of_them() {
        for (plain, text) in [
            ("yes", "true"),
            ("Off", "false"),
            ("1_000", "1000"),
            ("+5", "5"),
            ("-1_0", "-10"),
            ("0644", "420"),
            ("1.10", "1.1"),
            ("2.0", "2.0"),
            ("0.50", "0.5"),
            // No numbers, or none whose text is known for sure.
            ("1.2.3", "1.2.3"),
            ("089", "089"),
            ("3000:80", "3000:80"),
            ("v1", "v1"),
            ("0", "0"),
            ("-", "-"),
            ("", ""),
        ] {
            assert_eq!(as_text(plain), text, "{plain}");
        }
    }
}
