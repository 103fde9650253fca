//! PostgreSQL: what Squawk finds, and what it misses, over its syntax tree.

use cutover_core::Engine;
use squawk_syntax::ast::{self, AlterColumnOption, AlterTableAction, AstNode, Constraint, Stmt};
use squawk_syntax::{SourceFile, SyntaxNode};

use super::known::{Known, bare};
use super::rule::Rule;
use super::scope::Scope;
use super::{Statement, bounded, squawk, types};
use crate::statement::split;
use crate::token::{Token, TokenKind, tokens};

/// Classifies the statements of a file, whose tokens are `all`; a new transaction begins at each of `parts`, in bytes.
pub(super) fn lint(sql: &str, all: &[Token<'_>], parts: &[usize], known: &mut Known) -> Vec<Statement> {
    let text = without_comments(sql, all);
    let parse = SourceFile::parse(&text);
    let theirs = squawk::find(&parse, &text);
    let errors: Vec<usize> = parse.errors().iter().map(|error| error.range().start().into()).collect();
    let mut statements = Vec::new();
    let (mut scope, mut part) = (Scope::default(), 0);
    for statement in parse.tree().stmts() {
        if matches!(statement, Stmt::EmptyStmt(_)) {
            continue;
        }
        let node = statement.syntax();
        let (start, end) = (begin(node), usize::from(node.text_range().end()));
        let here = parts.iter().filter(|separator| **separator <= start).count();
        if here != part {
            (scope, part) = (Scope::default(), here);
        }
        let mut found: Vec<(Rule, usize)> =
            theirs.iter().filter(|(_, at)| (start..end).contains(at)).copied().collect();
        if errors.iter().any(|at| (start..=end).contains(at)) {
            found.push((Rule::UNREAD, start));
        }
        let mut own = Vec::new();
        let mut walk = Walk { known, scope: &mut scope, found: &mut own };
        walk.statement(&statement);
        let new = walk.is_new(&statement);
        found.retain(|(rule, at)| walk.holds(*rule, &statement, *at));
        if new {
            // Nobody uses it yet.
            found.clear();
            own.clear();
        }
        found.extend(own.into_iter().map(|rule| (rule, start)));
        statements.push(Statement { at: start, end, found });
    }
    let code = all.iter().filter(|token| token.kind != TokenKind::Comment).copied();
    for statement in split(sql, code, Engine::Postgresql) {
        let (Some(first), Some(last)) = (statement.tokens.first(), statement.tokens.last()) else { continue };
        if !statements.iter().any(|known| (first.at..last.end()).contains(&known.at)) {
            statements.push(Statement {
                at: first.at,
                end: last.end(),
                found: vec![(Rule::UNREAD, first.at)],
            });
        }
    }
    statements.sort_by_key(|statement| statement.at);
    statements
}

/// The text with spaces in the place of its comments: one of them could tell Squawk to look away.
fn without_comments(sql: &str, all: &[Token<'_>]) -> String {
    let mut text = String::with_capacity(sql.len());
    for comment in all.iter().filter(|token| token.kind == TokenKind::Comment) {
        text.push_str(sql.get(text.len()..comment.at).unwrap_or_default());
        for byte in comment.text.bytes() {
            text.push(if byte == b'\n' { '\n' } else { ' ' });
        }
    }
    let rest = sql.get(text.len()..).unwrap_or_default();
    text.push_str(rest);
    text
}

/// Where a node begins, without the comments and the space before it.
fn begin(node: &SyntaxNode) -> usize {
    let first = node.children_with_tokens().find(|child| !child.kind().is_trivia());
    first.map_or_else(|| node.text_range().start(), |child| child.text_range().start()).into()
}

fn text(node: &impl AstNode) -> String {
    node.syntax().text().to_string()
}

/// A look at one statement.
struct Walk<'a> {
    known: &'a mut Known,
    scope: &'a mut Scope,
    found: &'a mut Vec<Rule>,
}

impl Walk<'_> {
    fn statement(&mut self, statement: &Stmt) {
        if sets_timeout(statement) {
            self.found.push(Rule::TIMEOUT);
        }
        match statement {
            Stmt::AlterTable(alter) => self.alter_table(alter),
            Stmt::CreateTable(create) => self.create_table(create),
            Stmt::CreateTableAs(create) => {
                self.rows_on_the_way(statement);
                let name = create.table_name().filter(|_| create.if_not_exists().is_none());
                if let Some(name) = name {
                    self.known.make_table(&text(&name));
                }
            }
            Stmt::Update(_) | Stmt::Delete(_) | Stmt::Merge(_) => {
                if writes(statement)
                    || !bounded(&tokens(&statement.syntax().text().to_string(), Engine::Postgresql))
                {
                    self.found.push(Rule::UNBOUNDED);
                }
                self.scope.write(self.found);
            }
            Stmt::Insert(_) => {
                if writes(statement) {
                    self.found.push(Rule::UNBOUNDED);
                }
                self.scope.write(self.found);
            }
            Stmt::Truncate(_) => self.found.push(Rule::TRUNCATE),
            Stmt::Lock(_) => self.found.push(Rule::LOCK),
            Stmt::Cluster(_) | Stmt::Repack(_) => self.found.push(Rule::CLUSTER),
            Stmt::Vacuum(_) if says(statement, "FULL") => self.found.push(Rule::VACUUM_FULL),
            Stmt::Do(_) | Stmt::Call(_) | Stmt::Execute(_) => self.found.push(Rule::CODE),
            Stmt::Select(_)
            | Stmt::SelectInto(_)
            | Stmt::CompoundSelect(_)
            | Stmt::ParenSelect(_)
            | Stmt::Table(_)
            | Stmt::Values(_)
            | Stmt::Copy(_) => self.rows_on_the_way(statement),
            // It runs what it explains.
            Stmt::Explain(explain) if says(statement, "ANALYZE") || says(statement, "ANALYSE") => {
                let explained = explain.explain_stmt().and_then(|it| Stmt::cast(it.syntax().clone()));
                if let Some(explained) = explained {
                    self.statement(&explained);
                }
            }
            Stmt::Refresh(_) if !says(statement, "CONCURRENTLY") => self.found.push(Rule::REFRESH),
            Stmt::AlterIndex(_) | Stmt::AlterMaterializedView(_) if says(statement, "TABLESPACE") => {
                self.found.push(Rule::MOVE);
            }
            Stmt::CreateTrigger(_) => {
                self.found.push(Rule::TRIGGER);
                self.change(statement, false);
            }
            Stmt::CreateIndex(_) if !says(statement, "CONCURRENTLY") => self.change(statement, false),
            Stmt::DropTrigger(_) => self.change(statement, true),
            Stmt::DropTable(drop) => {
                for table in drop.table_name_refs() {
                    self.scope.change(&text(&table), true, self.found);
                }
            }
            _ => {}
        }
    }

    /// Notes the rows that a query writes on the way.
    fn rows_on_the_way(&mut self, statement: &Stmt) {
        if writes(statement) {
            self.found.push(Rule::UNBOUNDED);
            self.scope.write(self.found);
        }
    }

    /// Notes that a table is changed, unless nobody uses it yet.
    fn change(&mut self, statement: &Stmt, exclusive: bool) {
        if let Some(table) = table(statement).filter(|table| !self.known.is_new(table)) {
            self.scope.change(&table, exclusive, self.found);
        }
    }

    fn create_table(&mut self, create: &ast::CreateTable) {
        let Some(table) = create.table_name().map(|name| text(&name)) else { return };
        if create.if_not_exists().is_none() {
            self.known.make_table(&table);
        }
        for argument in create.table_arg_list().into_iter().flat_map(|list| list.args()) {
            if let ast::TableArg::Column(column) = argument
                && let (Some(name), Some(kind)) = (column.name(), column.ty())
            {
                self.known.type_of_column(&table, &text(&name), &text(&kind));
            }
        }
    }

    fn alter_table(&mut self, alter: &ast::AlterTable) {
        let Some(table) = alter.table_relation_name().map(|name| text(&name)) else { return };
        // Of the lock that the whole statement takes, the strongest counts (manual, ALTER TABLE).
        let exclusive = alter.actions().any(|action| match action {
            AlterTableAction::ValidateConstraint(_) | AlterTableAction::AttachPartition(_) => false,
            AlterTableAction::AddConstraint(add) => {
                !matches!(add.constraint(), Some(Constraint::ForeignKeyConstraint(_)))
            }
            _ => true,
        });
        if !self.known.is_new(&table) {
            self.scope.change(&table, exclusive, self.found);
        }
        for action in alter.actions() {
            self.action(&table, action);
        }
    }

    fn action(&mut self, table: &str, action: AlterTableAction) {
        match action {
            AlterTableAction::AddColumn(add) => self.add_column(table, &add),
            AlterTableAction::AlterColumn(alter) => {
                let Some(column) = alter.column_name_ref().map(|name| text(&name)) else { return };
                self.alter_column(table, &column, alter.option());
            }
            AlterTableAction::AddConstraint(add) => {
                let Some(constraint) = add.constraint() else { return };
                self.add_constraint(table, &constraint);
            }
            AlterTableAction::ValidateConstraint(validate) => {
                let Some(name) = validate.constraint_name_ref().map(|name| text(&name)) else { return };
                self.scope.validate(table, &name, self.found);
                self.known.validate(table, &name);
            }
            AlterTableAction::SetTablespace(_)
            | AlterTableAction::SetLogged(_)
            | AlterTableAction::SetUnlogged(_)
            | AlterTableAction::SetAccessMethod(_) => self.found.push(Rule::MOVE),
            AlterTableAction::AttachPartition(attach) => {
                let partition = attach.table_name_ref().map(|name| text(&name)).unwrap_or_default();
                if !self.known.is_new(&partition) && !self.known.is_checked(&partition) {
                    self.found.push(Rule::ATTACH);
                }
            }
            _ => {}
        }
    }

    fn add_column(&mut self, table: &str, add: &ast::AddColumn) {
        let (Some(name), Some(kind)) = (add.column_name(), add.ty()) else { return };
        let (name, kind) = (text(&name), text(&kind));
        let small = kind.trim().to_ascii_lowercase();
        if small == "json" {
            self.found.push(Rule::JSON);
        }
        let is_serial = small.ends_with("serial") || small.starts_with("serial");
        let generated = |constraint| matches!(constraint, Constraint::GeneratedConstraint(_));
        if is_serial || add.constraints().any(generated) {
            self.found.push(Rule::ADD_COMPUTED);
        }
        for constraint in add.constraints() {
            match constraint {
                Constraint::ReferencesConstraint(_) => self.scope.add_foreign_key(self.found),
                Constraint::CheckConstraint(_) => self.found.push(Rule::CHECK),
                Constraint::UniqueConstraint(_) | Constraint::PrimaryKeyConstraint(_) => {
                    self.found.push(Rule::UNIQUE);
                }
                _ => {}
            }
        }
        self.known.type_of_column(table, &name, &kind);
        if add.if_not_exists().is_none() {
            self.known.add_column(table, &name);
        }
    }

    fn alter_column(&mut self, table: &str, column: &str, option: Option<AlterColumnOption>) {
        match option {
            Some(AlterColumnOption::SetType(set)) => {
                let Some(new) = set.ty().map(|kind| text(&kind)) else { return };
                let computed = set.using_expr().is_some_and(|using| !is_cast(&text(&using), column, &new));
                let rule = match self.known.kind(table, column) {
                    _ if computed => Some(Rule::CHANGE_TYPE),
                    None => Some(Rule::CHANGE_TYPE_UNKNOWN),
                    Some(old) => (!types::is_harmless(old, &new)).then_some(Rule::CHANGE_TYPE),
                };
                self.found.extend(rule);
                self.known.type_of_column(table, column, &new);
            }
            Some(AlterColumnOption::SetNotNull(_)) if !self.known.is_added(table, column) => {
                self.found.push(Rule::NOT_NULL);
            }
            Some(AlterColumnOption::SetDefault(_) | AlterColumnOption::DropDefault(_))
                if !self.known.is_added(table, column) =>
            {
                self.found.push(Rule::CHANGE_DEFAULT);
            }
            Some(AlterColumnOption::DropExpression(_)) => self.found.push(Rule::DROP),
            Some(AlterColumnOption::AddGenerated(_)) => self.found.push(Rule::CHANGE_DEFAULT),
            _ => {}
        }
    }

    fn add_constraint(&mut self, table: &str, constraint: &Constraint) {
        let name = match constraint {
            Constraint::CheckConstraint(it) => it.constraint_name_clause(),
            Constraint::ForeignKeyConstraint(it) => it.constraint_name_clause(),
            _ => None,
        };
        let name = name.and_then(|clause| clause.constraint_name()).map(|name| text(&name));
        if let Some(name) = &name {
            self.scope.add_constraint(table, name);
        }
        match constraint {
            Constraint::CheckConstraint(check) => {
                let condition = check.expr().map(|expression| text(&expression)).unwrap_or_default();
                let valid = !constraint.is_not_valid();
                self.known.check(table, &name.unwrap_or_default(), &condition, valid);
            }
            Constraint::ForeignKeyConstraint(_) => self.scope.add_foreign_key(self.found),
            Constraint::ExcludeConstraint(_) => self.found.push(Rule::UNIQUE),
            _ => {}
        }
    }

    /// Whether the statement is about a table that the same version has made, and about no other.
    fn is_new(&self, statement: &Stmt) -> bool {
        table(statement).is_some_and(|table| self.known.is_new(&table)) && !writes(statement)
    }

    /// Whether what Squawk has found holds with what is known.
    fn holds(&self, rule: Rule, statement: &Stmt, at: usize) -> bool {
        if rule != Rule::NOT_NULL_SCAN {
            return true;
        }
        let Stmt::AlterTable(alter) = statement else { return true };
        let Some(table) = alter.table_relation_name().map(|name| text(&name)) else { return true };
        let column = alter.actions().find_map(|action| match action {
            AlterTableAction::AlterColumn(column) => {
                let range = column.syntax().text_range();
                let here = (usize::from(range.start())..usize::from(range.end())).contains(&at);
                column.column_name_ref().map(|name| text(&name)).filter(|_| here)
            }
            _ => None,
        });
        column.is_none_or(|column| !self.known.is_filled(&table, &column))
    }
}

/// The table that a statement is about.
fn table(statement: &Stmt) -> Option<String> {
    match statement {
        Stmt::AlterTable(alter) => alter.table_relation_name().map(|name| text(&name)),
        Stmt::CreateIndex(create) => create.table_relation_name().map(|name| text(&name)),
        Stmt::Update(update) => update.relation_name().map(|name| text(&name)),
        Stmt::Delete(delete) => delete.relation_name().map(|name| text(&name)),
        Stmt::CreateTrigger(create) => create.on_relation()?.relation_name_ref().map(|name| text(&name)),
        _ => None,
    }
}

/// Whether a word stands in the statement outside of quotes.
fn says(statement: &Stmt, word: &str) -> bool {
    tokens(&statement.syntax().text().to_string(), Engine::Postgresql).iter().any(|token| token.is(word))
}

/// Whether a statement takes away the limit of the wait for a lock, which the migrator has set.
fn sets_timeout(statement: &Stmt) -> bool {
    let text = statement.syntax().text().to_string();
    let found = tokens(&text, Engine::Postgresql);
    // What isn't a setting's name as it stands may be this one's.
    let calls = found.windows(4).any(|call| {
        let [function, open, setting, comma] = call else { return false };
        bare(function.text) == "set_config"
            && open.is_symbol("(")
            && (!comma.is_symbol(",")
                || !setting.text.starts_with('\'')
                || setting.text.eq_ignore_ascii_case("'lock_timeout'"))
    });
    let named = || found.iter().any(|token| token.is_name() && bare(token.text) == "lock_timeout");
    calls
        || match statement {
            Stmt::Set(_) => named(),
            Stmt::Reset(_) => named() || says(statement, "ALL"),
            Stmt::Discard(_) => says(statement, "ALL"),
            _ => false,
        }
}

/// Whether a statement writes rows on the way: `WITH … AS (DELETE …)`.
fn writes(statement: &Stmt) -> bool {
    let text = statement.syntax().text().to_string();
    let found = tokens(&text, Engine::Postgresql);
    let mut depth = 0_usize;
    found.iter().zip(found.iter().skip(1)).any(|(before, token)| {
        if before.is_symbol("(") {
            depth += 1;
        } else if before.is_symbol(")") {
            depth = depth.saturating_sub(1);
        }
        // The first word of a query within another, or the one behind its own WITH.
        depth > 0
            && (before.is_symbol("(") || before.is_symbol(")"))
            && ["UPDATE", "DELETE", "MERGE"].into_iter().any(|verb| token.is(verb))
    })
}

/// Whether an expression is the column as the type that it gets, which says nothing new.
fn is_cast(using: &str, column: &str, kind: &str) -> bool {
    let squeeze = |text: &str| {
        text.chars().filter(|c| !c.is_whitespace() && *c != '"').collect::<String>().to_ascii_lowercase()
    };
    let using = squeeze(using);
    let using = using.strip_prefix("using").unwrap_or(&using);
    using == squeeze(&format!("{column}::{kind}"))
}
