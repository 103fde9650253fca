//! The tokens of SQL as its server reads it (PostgreSQL's manual, chapter 4.1; MySQL's, chapter 9): as much as it takes to
//! tell statements apart.

use cutover_core::Engine;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or an identifier without quotes.
    Word,
    /// An identifier in quotes: double ones, or MySQL's backticks.
    Quoted,
    /// A string: in single quotes, between dollar tags, or in MySQL's double quotes.
    Text,
    /// A comment that MySQL executes (`/*! … */`).
    Executable,
    /// Anything else, one character at a time.
    Symbol,
    /// A comment. No statement has it among its tokens.
    Comment,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// Its text as written, quotes included.
    pub text: &'a str,
    /// The line that it starts in, from 1.
    pub line: usize,
    /// Where it starts, in bytes.
    pub at: usize,
}

impl Token<'_> {
    /// Whether it is the keyword `word`, in any case.
    pub fn is(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is the character `symbol`.
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    /// Whether it can be an identifier.
    pub fn is_name(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Quoted)
    }

    /// Where it ends, in bytes.
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// The tokens of `sql` and its comments, without white space. What isn't closed reaches to the end: the server says so
/// better than we could.
pub(crate) fn tokens(sql: &str, engine: Engine) -> Vec<Token<'_>> {
    let first = if engine.is_postgresql() { postgresql } else { mysql };
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = first(rest);
        let length = length.clamp(1, rest.len());
        let text = rest.get(..length).unwrap_or(rest);
        if let Some(kind) = kind {
            tokens.push(Token { kind, text, line, at });
        }
        line += text.matches('\n').count();
        at += text.len();
    }
    tokens
}

/// The kind and length in bytes of what `rest` begins with; no kind for white space.
type First = (Option<TokenKind>, usize);

fn postgresql(rest: &str) -> First {
    let Some(character) = rest.chars().next() else { return (None, 0) };
    if rest.starts_with("--") {
        return (Some(TokenKind::Comment), rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Some(TokenKind::Comment), comment(rest));
    }
    if rest.starts_with("E'") || rest.starts_with("e'") {
        return (Some(TokenKind::Text), 1 + quoted(&rest.as_bytes()[1..], b'\'', true));
    }
    match character {
        '\'' => (Some(TokenKind::Text), quoted(rest.as_bytes(), b'\'', false)),
        '"' => (Some(TokenKind::Quoted), quoted(rest.as_bytes(), b'"', false)),
        '$' => dollar(rest).map_or((Some(TokenKind::Symbol), 1), |length| (Some(TokenKind::Text), length)),
        _ => plain(rest, character),
    }
}

fn mysql(rest: &str) -> First {
    let Some(character) = rest.chars().next() else { return (None, 0) };
    // Two hyphens begin a comment only before white space (manual, 9.7): `5--1` is 6.
    let hyphens = rest.strip_prefix("--");
    if hyphens.is_some_and(|rest| rest.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control()))
        || character == '#'
    {
        return (Some(TokenKind::Comment), rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        let executable = rest.starts_with("/*!") || rest.starts_with("/*M!");
        let kind = if executable { TokenKind::Executable } else { TokenKind::Comment };
        return (Some(kind), rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    match character {
        '\'' => (Some(TokenKind::Text), quoted(rest.as_bytes(), b'\'', true)),
        '"' => (Some(TokenKind::Text), quoted(rest.as_bytes(), b'"', true)),
        '`' => (Some(TokenKind::Quoted), quoted(rest.as_bytes(), b'`', false)),
        _ => plain(rest, character),
    }
}

/// White space, a word, or a character that stands for itself.
fn plain(rest: &str, character: char) -> First {
    if character.is_whitespace() {
        (None, character.len_utf8())
    } else if starts_word(character) {
        (Some(TokenKind::Word), rest.find(|c| !continues_word(c)).unwrap_or(rest.len()))
    } else {
        (Some(TokenKind::Symbol), character.len_utf8())
    }
}

fn starts_word(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || !character.is_ascii()
}

fn continues_word(character: char) -> bool {
    starts_word(character) && !character.is_whitespace() || character.is_ascii_digit() || character == '$'
}

/// The length of the block comment that `rest` begins with; they nest.
fn comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return at + 2,
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of the quoted text that `bytes` begins with. A doubled quote doesn't end it, nor, with `escapes`, does
/// one after a backslash.
fn quoted(bytes: &[u8], quote: u8, escapes: bool) -> usize {
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        if escapes && byte == b'\\' || byte == quote && bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else if byte == quote {
            return at + 1;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The length of the dollar-quoted text that `rest` begins with, if it is one: `$1` is a parameter.
fn dollar(rest: &str) -> Option<usize> {
    let (tag, _) = rest.get(1..)?.split_once('$')?;
    let mut characters = tag.chars();
    let is_tag =
        characters.next().is_none_or(starts_word) && characters.all(|c| continues_word(c) && c != '$');
    if !is_tag {
        return None;
    }
    let tag = rest.get(..tag.len() + 2)?;
    let body = rest.get(tag.len()..)?;
    Some(body.find(tag).map_or(rest.len(), |end| tag.len() + end + tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str, engine: Engine) -> Vec<&str> {
        let no_comment = |token: &Token<'_>| token.kind != TokenKind::Comment;
        tokens(sql, engine).into_iter().filter(no_comment).map(|token| token.text).collect()
    }

    #[test]
    fn comments_are_told_from_what_is_executed() {
        assert_eq!(texts("a -- b; 'c\n /* d /* e */ ; */ f", Engine::Postgresql), ["a", "f"]);
        assert_eq!(texts("a -- b\n# c;\n/* d /* e */ f 5--1", Engine::Mysql), ["a", "f", "5", "-", "-", "1"]);
        assert_eq!(tokens("a\n/*\n*/ b", Engine::Postgresql).last().map(|token| token.line), Some(3));
        let executed = tokens("/*!40101 SET a = 1 */", Engine::Mariadb);
        assert_eq!(executed.first().map(|token| token.kind), Some(TokenKind::Executable));
    }

    #[test]
    fn what_is_quoted_is_one_token() {
        let texts = |sql| texts(sql, Engine::Postgresql);
        assert_eq!(texts("'it''s; fine' \"a\"\"b;\""), ["'it''s; fine'", "\"a\"\"b;\""]);
        assert_eq!(texts(r"E'\';' 'c:\' x"), [r"E'\';'", r"'c:\'", "x"]);
        assert_eq!(
            texts("$$ a; $b$ $$ $t$ ; $$ $t$ $1 a$b$c"),
            ["$$ a; $b$ $$", "$t$ ; $$ $t$", "$", "1", "a$b$c"]
        );
    }

    #[test]
    fn mysql_quotes_in_ways_of_its_own() {
        assert_eq!(
            texts(r#"'it\'s;' "a\";" `b``;` $$"#, Engine::Mysql),
            [r"'it\'s;'", r#""a\";""#, "`b``;`", "$", "$"]
        );
    }

    #[test]
    fn what_is_not_closed_reaches_to_the_end() {
        for sql in ["'abc", "\"abc", "$$abc", "$t$abc$", "/*abc", "E'abc\\", "é'ü", "`a", "'a\\"] {
            for engine in Engine::ALL {
                assert!(tokens(sql, engine).len() <= 8, "{sql}");
                assert!(tokens(sql, engine).last().is_some_and(|token| token.end() == sql.len()), "{sql}");
            }
        }
    }
}
