//! The tokens of a statement, read one after the other.

use super::Name;
use crate::token::Token;

/// What is still to be read.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(pub(super) &'a [Token<'a>]);

impl<'a> Words<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<&'a Token<'a>> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn begins(&self, words: &[&str]) -> bool {
        self.0.len() >= words.len() && self.0.iter().zip(words).all(|(token, word)| token.is(word))
    }

    /// Reads these words, where they are next.
    pub(super) fn take(&mut self, words: &[&str]) -> bool {
        let begins = self.begins(words);
        if begins {
            self.0 = self.0.get(words.len()..).unwrap_or_default();
        }
        begins
    }

    /// Reads one of these words, where one is next.
    pub(super) fn any<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        let found = words.iter().copied().find(|word| self.begins(&[word]))?;
        self.next();
        Some(found)
    }

    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        let is = self.0.first().is_some_and(|token| token.is_symbol(symbol));
        if is {
            self.next();
        }
        is
    }

    /// Reads up to `word` and over it.
    pub(super) fn behind(&mut self, word: &str) -> Option<()> {
        while !self.take(&[word]) {
            self.next()?;
        }
        Some(())
    }

    /// Reads `IF EXISTS` or `IF NOT EXISTS`, where it is next.
    pub(super) fn condition(&mut self) -> bool {
        self.take(&["IF", "NOT", "EXISTS"]) || self.take(&["IF", "EXISTS"])
    }

    /// Reads how long MariaDB is to wait for a lock, where that is next.
    pub(super) fn wait(&mut self) {
        if self.take(&["WAIT"]) {
            // A number, one digit a token.
            while self.0.first().is_some_and(|token| token.text.chars().all(|c| c.is_ascii_digit())) {
                self.next();
            }
        }
        self.take(&["NOWAIT"]);
    }

    /// Reads an identifier, without its quotes.
    pub(super) fn identifier(&mut self) -> Option<String> {
        let token = self.0.first().filter(|token| token.is_name())?;
        self.next();
        let inner = token.text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
        Some(inner.map_or_else(|| token.text.to_owned(), |inner| inner.replace("``", "`")))
    }

    /// Reads a name with its schema, if that is given.
    pub(super) fn name(&mut self) -> Option<Name> {
        let first = self.identifier()?;
        if self.symbol(".") {
            Some(Name { schema: Some(first), name: self.identifier()? })
        } else {
            Some(Name { schema: None, name: first })
        }
    }
}
