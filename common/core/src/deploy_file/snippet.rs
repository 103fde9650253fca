//! A line of the file with a mark below what is meant, and with no secret in it.

use std::ops::Range;

use super::error::Place;

/// Stands in the place of what must not be shown, whatever its length.
const HIDDEN: &str = "***";

/// The text of the file and the places in it that must not be shown.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) secrets: &'a [Place],
}

impl Source<'_> {
    /// The line of `place`, with `number` in the margin and the place marked; none where there is no such line.
    pub(super) fn snippet(&self, place: Place, number: usize) -> Option<String> {
        let line = self.text.lines().nth(place.line.checked_sub(1)?)?;
        let chars = self.shown(place.line, line);
        let start = place.column.saturating_sub(1).min(chars.len());
        let end = start.saturating_add(place.width).min(chars.len());
        let (before, rest) = chars.split_at(start);
        let width = |part: &[String]| part.iter().map(|shown| shown.chars().count()).sum::<usize>();
        let (indent, marked) = (width(before), width(rest.split_at(end - start).0).max(1));
        let number = number.to_string();
        let margin = " ".repeat(number.len());
        let line = chars.concat();
        Some(format!("{margin} |\n{number} | {}\n{margin} | {:indent$}{:^>marked$}", line.trim_end(), "", ""))
    }

    /// What is shown for each character of a line: itself; nothing, or the sign in its place, where it is hidden.
    fn shown(&self, number: usize, line: &str) -> Vec<String> {
        let chars: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let secrets = self.secrets.iter().filter(|secret| secret.line == number).map(|secret| {
            let from = secret.column.saturating_sub(1);
            from..from.saturating_add(secret.width)
        });
        let hidden: Vec<Range<usize>> = secrets.chain(userinfo(&chars)).collect();
        let is_hidden = |index: usize| hidden.iter().any(|range| range.contains(&index));
        let shown = |(index, c): (usize, &char)| match (
            index.checked_sub(1).is_some_and(is_hidden),
            is_hidden(index),
        ) {
            (_, false) => c.to_string(),
            (false, true) => HIDDEN.to_owned(),
            (true, true) => String::new(),
        };
        chars.iter().enumerate().map(shown).collect()
    }
}

/// Where user and password stand in URLs (RFC 3986, 3.2.1): between `://` and the last `@` before the next gap.
fn userinfo(chars: &[char]) -> Vec<Range<usize>> {
    let schemes = chars.windows(3).enumerate().filter(|(_, window)| *window == [':', '/', '/']);
    let ranges = schemes.filter_map(|(index, _)| {
        let from = index + 3;
        let gap = |c: &char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '}' | ']');
        let rest = chars.get(from..)?;
        let url = rest.split_at(rest.iter().position(gap).unwrap_or(rest.len())).0;
        Some(from..from + url.iter().rposition(|c| *c == '@')?)
    });
    ranges.collect()
}
