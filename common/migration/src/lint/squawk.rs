//! What Squawk finds, as rules of ours.

use squawk_linter::{Linter, LinterSettings, Rule as Theirs, Violation};
use squawk_syntax::{Parse, SourceFile};

use super::rule::Rule;

/// Squawk's rules that are asked, and ours that they are. Those about style, and those that our own reading of the tree
/// answers better, aren't.
const RULES: [(Theirs, Rule); 31] = [
    (Theirs::RequireConcurrentIndexCreation, Rule::INDEX),
    (Theirs::RequireConcurrentIndexDeletion, Rule::DROP_INDEX),
    (Theirs::RequireConcurrentReindex, Rule::REINDEX),
    (Theirs::RequireConcurrentPartitionDetach, Rule::DETACH),
    (Theirs::ConstraintMissingNotValid, Rule::CHECK),
    (Theirs::AddingForeignKeyConstraint, Rule::FOREIGN_KEY),
    (Theirs::AddingFieldWithDefault, Rule::ADD_COMPUTED),
    (Theirs::AddingNotNullableField, Rule::NOT_NULL_SCAN),
    (Theirs::AddingSerialPrimaryKeyField, Rule::UNIQUE),
    (Theirs::AddingRequiredField, Rule::ADD_REQUIRED),
    (Theirs::DisallowedUniqueConstraint, Rule::UNIQUE),
    (Theirs::RenamingColumn, Rule::RENAME),
    (Theirs::RenamingTable, Rule::RENAME),
    (Theirs::RenamingObject, Rule::RENAME),
    (Theirs::BanDropDatabase, Rule::DROP_DATABASE),
    (Theirs::BanDropColumn, Rule::DROP_COLUMN),
    (Theirs::BanDropTable, Rule::DROP_TABLE),
    (Theirs::BanDropView, Rule::DROP),
    (Theirs::BanDropFunction, Rule::DROP),
    (Theirs::BanDropType, Rule::DROP),
    (Theirs::BanDropTrigger, Rule::DROP),
    (Theirs::BanDropSchema, Rule::DROP),
    (Theirs::BanDropSequence, Rule::DROP),
    (Theirs::BanDropDomain, Rule::DROP),
    (Theirs::BanDropConstraint, Rule::DROP),
    (Theirs::BanDropExtension, Rule::DROP),
    (Theirs::BanDropPolicy, Rule::DROP),
    (Theirs::BanSetSchema, Rule::SET_SCHEMA),
    (Theirs::BanRevoke, Rule::REVOKE),
    (Theirs::BanAlterDomainWithAddConstraint, Rule::DOMAIN),
    (Theirs::BanDisableTrigger, Rule::DISABLE_TRIGGER),
];

/// What Squawk finds in a file: our rule, and where it is broken, in bytes.
pub(super) fn find(parse: &Parse<SourceFile>, text: &str) -> Vec<(Rule, usize)> {
    let mut linter = Linter::from(RULES.iter().map(|(theirs, _)| *theirs));
    // Within a transaction Squawk is silent about tables that it makes, and takes those of another schema for them.
    linter.settings = LinterSettings { assume_in_transaction: false, ..LinterSettings::default() };
    let found = linter.lint(parse, text);
    found
        .iter()
        .filter_map(|violation| Some((ours(violation, text)?, violation.text_range.start().into())))
        .collect()
}

fn ours(violation: &Violation, text: &str) -> Option<Rule> {
    let (_, ours) = RULES.iter().find(|(theirs, _)| *theirs == violation.code)?;
    if *ours != Rule::CHECK {
        return Some(*ours);
    }
    // Squawk has one rule for all constraints that are checked at once.
    let constraint = text.get(violation.text_range.start().into()..violation.text_range.end().into())?;
    let constraint = constraint.to_ascii_uppercase();
    if constraint.contains("REFERENCES") {
        Some(Rule::FOREIGN_KEY)
    } else if constraint.contains("CHECK") || constraint.contains("NOT NULL") {
        Some(Rule::CHECK)
    } else {
        None
    }
}
