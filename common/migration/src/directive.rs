//! Comments that are meant for Cutover: `-- cutover: …`, alone on their line.

use crate::token::{Token, TokenKind};

/// A comment that is meant for Cutover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    /// What stands after `cutover:`.
    pub(crate) text: &'a str,
    /// Its line, from 1.
    pub(crate) line: usize,
    /// Where it starts, in bytes.
    pub(crate) at: usize,
}

impl<'a> Directive<'a> {
    /// The directive that a token is, if it is one. A slip in upper and lower case or in white space makes it no prose.
    pub(crate) fn of(token: &Token<'a>) -> Option<Self> {
        let text = token.text.strip_prefix("--").filter(|_| token.kind == TokenKind::Comment)?;
        let (word, text) = text.split_once(':')?;
        let meant = word.trim().eq_ignore_ascii_case("cutover");
        meant.then_some(Self { text: text.trim(), line: token.line, at: token.at })
    }

    /// Whether a new part of the migration begins below.
    pub(crate) fn is_part(&self) -> bool {
        self.text == "part"
    }
}

#[cfg(test)]
mod tests {
    use cutover_core::Engine;

    use super::*;
    use crate::token::tokens;

    fn texts(sql: &str) -> Vec<(usize, &str)> {
        let found = tokens(sql, Engine::Postgresql);
        found.iter().filter_map(Directive::of).map(|directive| (directive.line, directive.text)).collect()
    }

    #[test]
    fn only_comments_that_begin_so_are_meant() {
        assert_eq!(texts("-- cutover: a=b\n--Cutover : part"), [(1, "a=b"), (2, "part")]);
        assert!(
            texts("-- see cutover: a\n-- cutover is fine\n'\n-- cutover: a\n' /* cutover: a */").is_empty()
        );
    }
}
