//! The name that was probably meant.

use strsim::damerau_levenshtein;

/// The known name that `text` is a slip of, if there is one near enough: one slip in every three characters, or the
/// beginning of the name.
pub fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |name: &str| {
        let slips = damerau_levenshtein(&text.to_lowercase(), name);
        slips <= (text.chars().count() / 3).max(1) || (text.len() >= 3 && name.starts_with(text))
    };
    sorted(text, known).into_iter().find(|name| near(name))
}

/// The known names, the nearest to `text` first.
pub(super) fn sorted<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = known.collect();
    names.sort_by_key(|name| damerau_levenshtein(text, name));
    names
}
