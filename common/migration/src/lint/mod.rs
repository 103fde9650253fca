//! What is wrong with migrations that could run: each statement with what it does to those who use the database.

mod allow;
mod known;
mod mysql;
mod postgresql;
mod rule;
mod scope;
mod squawk;
mod types;
mod verdict;

use cutover_core::{Engine, Phase};

pub use allow::{Allow, InvalidAllow};
pub use rule::{Class, Rule, Severity};
pub use verdict::{Finding, Verdict};

use known::Known;

use crate::InvalidMigration;
use crate::directive::Directive;
use crate::token::{Token, TokenKind, tokens};

/// The columns by whose value people name single rows.
const SINGLE: [&str; 6] = ["id", "uuid", "key", "name", "code", "slug"];

/// A migration's file, one phase of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The file's name, in front of people.
    pub file: String,
    /// The file that its contract stands in.
    pub contract: String,
    /// The version.
    pub version: String,
    /// When it runs.
    pub phase: Phase,
    /// Its SQL.
    pub sql: String,
    /// Whether it was written from operations: then it is known to be safe.
    pub declared: bool,
}

/// A statement as it was read: where it stands, in bytes, and the rules that it breaks, and where.
struct Statement {
    at: usize,
    end: usize,
    found: Vec<(Rule, usize)>,
}

/// Classifies the statements of all `scripts`, which come in the order in which they would run on an empty database: what the
/// earlier ones say is known in the later ones. Backfills have no statement but one that is run in batches.
///
/// # Errors
/// An override that can't be used.
pub fn lint(scripts: &[Script], engine: Engine) -> Result<Vec<Verdict>, InvalidMigration> {
    let mut known = Known::default();
    let mut verdicts = Vec::new();
    let mut version = None;
    for script in scripts.iter().filter(|script| script.phase != Phase::Backfill) {
        if version != Some(&script.version) {
            known.begin();
            version = Some(&script.version);
        }
        let all = tokens(&script.sql, engine);
        let allows = Allow::read(&all)
            .map_err(|source| InvalidMigration::Allow { file: script.file.clone(), source })?;
        let statements = if engine.is_postgresql() {
            let is_part =
                |token: &&Token<'_>| Directive::of(token).is_some_and(|directive| directive.is_part());
            let parts: Vec<usize> = all.iter().filter(is_part).map(|token| token.at).collect();
            postgresql::lint(&script.sql, &all, &parts, &mut known)
        } else {
            mysql::lint(&script.sql, engine, &mut known)
        };
        verdicts.extend(statements.into_iter().map(|statement| verdict(script, statement, &allows)));
    }
    Ok(verdicts)
}

fn verdict(script: &Script, statement: Statement, allows: &[Allow]) -> Verdict {
    let Statement { at, end, found } = statement;
    let (line, _, _) = place(&script.sql, at);
    let mut findings: Vec<Finding> = Vec::new();
    for (rule, at) in found.into_iter().filter(|_| !script.declared) {
        let Some(severity) = rule.severity(script.phase) else { continue };
        if findings.iter().any(|finding| finding.rule == rule) {
            continue;
        }
        let allow = allows.iter().find(|allow| allow.rule == rule && allow.statement == line);
        let (line, column, text) = place(&script.sql, at);
        findings.push(Finding {
            rule,
            severity,
            file: script.file.clone(),
            line,
            column,
            text: text.to_owned(),
            contract: rule.is_for_contract().then(|| script.contract.clone()),
            allowed: allow.map(|allow| allow.reason.clone()),
        });
    }
    let sql = script.sql.get(at..end).unwrap_or_default().trim_end_matches(';');
    let sql = sql.lines().next().unwrap_or_default().trim_end().to_owned();
    let (file, version) = (script.file.clone(), script.version.clone());
    Verdict { file, version, phase: script.phase, line, sql, findings }
}

/// The line and the column of a place in bytes, both from 1, and the line's text.
fn place(sql: &str, at: usize) -> (usize, usize, &str) {
    let before = sql.get(..at).unwrap_or(sql);
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.get(begin..).unwrap_or_default().chars().count() + 1;
    let text = sql.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    (line, column, text.trim_end())
}

/// Whether an UPDATE or a DELETE is of single rows: behind its WHERE, a column that people name rows by is compared with
/// constants, and there is no OR beside it.
fn bounded(tokens: &[Token<'_>]) -> bool {
    let Some(at) = tokens.iter().position(|token| token.is("WHERE")) else { return false };
    let mut depth = 0_usize;
    let mut top = Vec::new();
    for token in tokens.get(at + 1..).unwrap_or_default() {
        if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            top.push(*token);
        }
        if token.is_symbol("(") {
            depth += 1;
        }
    }
    let constant = |token: Option<&Token<'_>>| {
        token.is_some_and(|token| {
            token.kind == TokenKind::Text || token.text.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    let names_rows = |(at, token): (usize, &Token<'_>)| {
        let column = SINGLE.contains(&known::bare(token.text).as_str());
        let next = top.get(at + 1);
        let equals = next.is_some_and(|next| next.is_symbol("=")) && constant(top.get(at + 2));
        let listed = next.is_some_and(|next| next.is("IN")) && constants(tokens, token);
        column && token.is_name() && (equals || listed)
    };
    !top.iter().any(|token| token.is("OR")) && top.iter().enumerate().any(names_rows)
}

/// Whether a list of constants stands behind `column IN`.
fn constants(tokens: &[Token<'_>], column: &Token<'_>) -> bool {
    let list = tokens.iter().skip_while(|token| token.at <= column.at).skip(2);
    list.take_while(|token| !token.is_symbol(")")).all(|token| {
        token.kind == TokenKind::Text
            || token.kind == TokenKind::Symbol
                && token.text.chars().all(|c| c.is_ascii_digit() || ",-".contains(c))
    })
}
