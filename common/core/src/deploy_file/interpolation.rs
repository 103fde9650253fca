//! Variables in the clear part of an environment. They become references, never values: the file's reader has no
//! environment, and what stands in the clear part ends up in the journal.

use crate::Reference;
use crate::reference::is_variable;

/// What a text says about variables.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interpolation {
    /// Nothing.
    None,
    /// It is a variable and nothing else: `${NAME}`, `<%= ENV['NAME'] %>` or `<%= ENV.fetch('NAME') %>`.
    Whole(Reference),
    /// It has something of the kind in it.
    Mixed,
}

impl Interpolation {
    pub(super) fn of(text: &str) -> Self {
        let trimmed = text.trim();
        let name = trimmed
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .or_else(|| embedded_ruby(trimmed));
        match name.filter(|name| is_variable(name)) {
            Some(name) => Self::Whole(Reference::Environment(name.to_owned())),
            None if text.contains("${") || text.contains("<%") => Self::Mixed,
            None => Self::None,
        }
    }
}

/// The variable that `<%= ENV['NAME'] %>` names.
fn embedded_ruby(text: &str) -> Option<&str> {
    let code = text.strip_prefix("<%=")?.strip_suffix("%>")?.trim();
    let quoted = code
        .strip_prefix("ENV[")
        .and_then(|rest| rest.strip_suffix(']'))
        .or_else(|| code.strip_prefix("ENV.fetch(").and_then(|rest| rest.strip_suffix(')')))?
        .trim();
    ['\'', '"'].into_iter().find_map(|quote| quoted.strip_prefix(quote)?.strip_suffix(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_alone_is_a_reference() {
        let reference = Interpolation::Whole(Reference::Environment("X_1".to_owned()));
        for text in ["${X_1}", "<%= ENV['X_1'] %>", "<%=ENV[\"X_1\"]%>", "<%= ENV.fetch('X_1') %>"] {
            assert_eq!(Interpolation::of(text), reference, "{text}");
        }
    }

    #[test]
    fn anything_more_is_mixed_and_plain_text_is_not() {
        for text in ["a${X}", "${X:-b}", "${}", "<%= `id` %>", "<%= ENV['X'] || 'y' %>", "${X}${Y}"] {
            assert_eq!(Interpolation::of(text), Interpolation::Mixed, "{text}");
        }
        for text in ["", "$X", "a$", "{X}", "50%", "%>"] {
            assert_eq!(Interpolation::of(text), Interpolation::None, "{text}");
        }
    }
}
