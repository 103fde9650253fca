//! Overrides: what is known to be dangerous and meant, with the reason.

use crate::directive::Directive;
use crate::lint::Rule;
use crate::token::{Token, TokenKind};

/// An override of one rule for one statement: `-- cutover: allow=RULE reason="…"`, directly above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// The rule.
    pub rule: Rule,
    /// Why it is meant.
    pub reason: String,
    /// The line of the override, from 1.
    pub line: usize,
    /// The line that its statement starts in, from 1.
    pub statement: usize,
}

/// An override that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAllow {
    /// It isn't of its form.
    #[error("line {0}: an override is written as '-- cutover: allow=drop-column reason=\"why it is meant\"'")]
    Form(usize),
    /// It names no rule.
    #[error("line {line}: there is no rule '{name}'; docs/migrations.md lists them")]
    Rule {
        /// The line, from 1.
        line: usize,
        /// What was named.
        name: String,
    },
    /// No statement begins below it.
    #[error(
        "line {0}: an override must stand directly above its statement, with nothing but comments between"
    )]
    Alone(usize),
}

impl Allow {
    /// Whether a directive is one, right or wrong.
    pub(crate) fn is_meant(directive: &Directive<'_>) -> bool {
        directive.text.starts_with("allow")
    }

    /// Reads the overrides among the tokens of a file, comments included.
    pub(crate) fn read(tokens: &[Token<'_>]) -> Result<Vec<Self>, InvalidAllow> {
        let mut found = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let Some(directive) = Directive::of(token).filter(Self::is_meant) else { continue };
            let line = directive.line;
            let (name, reason) = parts(directive.text).ok_or(InvalidAllow::Form(line))?;
            let rule = Rule::of(name).ok_or_else(|| InvalidAllow::Rule { line, name: name.to_owned() })?;
            let rest = tokens.get(at + 1..).unwrap_or_default();
            let comments = rest.iter().take_while(|token| token.kind == TokenKind::Comment).count();
            let begins = rest.get(comments).filter(|next| {
                let starts =
                    at.checked_sub(1).and_then(|before| tokens.get(..=before)).is_none_or(|before| {
                        before
                            .iter()
                            .rfind(|token| token.kind != TokenKind::Comment)
                            .is_none_or(|last| last.is_symbol(";"))
                    });
                starts && next.line == line + comments + 1
            });
            let statement = begins.ok_or(InvalidAllow::Alone(line))?.line;
            found.push(Self { rule, reason: reason.to_owned(), line, statement });
        }
        Ok(found)
    }
}

/// The rule and the reason.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (rule, rest) = text.strip_prefix("allow=")?.split_once(char::is_whitespace)?;
    let reason = rest.trim().strip_prefix("reason=\"")?.strip_suffix('"')?.trim();
    (!rule.is_empty() && !reason.is_empty()).then_some((rule, reason))
}

#[cfg(test)]
mod tests {
    use cutover_core::Engine;

    use super::*;
    use crate::token::tokens;

    fn read(sql: &str) -> Result<Vec<(Rule, usize)>, InvalidAllow> {
        let allows = Allow::read(&tokens(sql, Engine::Postgresql))?;
        Ok(allows.iter().map(|allow| (allow.rule, allow.statement)).collect())
    }

    #[test]
    fn an_override_is_for_the_statement_below() {
        let one = "-- cutover: allow=drop-column reason=\"nobody reads it\"\n";
        let sql = format!("SELECT 1;\n{one}-- cutover: allow=lock reason=\"b\"\nALTER TABLE a DROP b;");
        assert_eq!(read(&sql), Ok(vec![(Rule::DROP_COLUMN, 4), (Rule::LOCK, 4)]));
        assert_eq!(read(one), Err(InvalidAllow::Alone(1)));
        assert_eq!(read(&format!("{one}\nSELECT 1")), Err(InvalidAllow::Alone(1)));
        assert_eq!(read(&format!("SELECT 1\n{one}FROM a")), Err(InvalidAllow::Alone(2)));
    }

    #[test]
    fn an_override_names_its_rule_and_its_reason() {
        for text in ["allow=lock", "allow lock reason=\"a\"", "allow=lock reason=\"\"", "allow=lock reason=a"]
        {
            assert_eq!(read(&format!("-- cutover: {text}\nSELECT 1")), Err(InvalidAllow::Form(1)), "{text}");
        }
        let unknown = read("-- cutover: allow=locks reason=\"a\"\nSELECT 1");
        assert!(matches!(unknown, Err(InvalidAllow::Rule { line: 1, .. })));
    }
}
