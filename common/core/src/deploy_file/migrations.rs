//! The section `migrations`: where they are, what they run on, and when their last phase may begin.

use super::error::{Place, Problem, Problems};
use super::pacing::{Backfill, Locks, backfill, locks};
use super::rails::{Rails, rails};
use super::rehearsal::{Rehearsal, rehearsal};
use super::section::Section;
use super::text::filled;
use super::units::span;
use crate::{ContractTerms, Engine, Reference, Span, Via, When};

/// The section as it stands in the file.
#[derive(Clone, Default)]
pub(super) struct Migrations {
    pub(super) place: Option<Place>,
    pub(super) folder: Option<String>,
    pub(super) rails: Rails,
    pub(super) database: Option<Reference>,
    pub(super) via: Option<Via>,
    pub(super) engine: Option<Engine>,
    pub(super) locks: Locks,
    pub(super) backfill: Backfill,
    pub(super) rehearsal: Rehearsal,
    after: Option<Span>,
    when: Option<When>,
}

/// Reads the section.
pub(super) fn migrations(mut section: Section<'_>, problems: &mut Problems) -> Migrations {
    if let Some(node) = section.node("database") {
        problems.hide(node);
    }
    let path = section.path_of("rails");
    let rails = section.node("rails").map(|node| rails(path, node, problems));
    let mut migrations = Migrations {
        place: section.place,
        folder: section.value("folder", filled, problems),
        rails: rails.unwrap_or_default(),
        database: section.value("database", str::parse, problems),
        via: section.value("via", str::parse, problems),
        engine: section.value("engine", str::parse, problems),
        ..Migrations::default()
    };
    if let Some(mut contract) = section.section("contract", problems) {
        migrations.after = contract.value("after", span, problems);
        migrations.when = contract.value("when", str::parse, problems);
        contract.done(problems);
    }
    let asked = section.section("locks", problems).map(|part| locks(part, problems));
    migrations.locks = asked.unwrap_or_default();
    let paced = section.section("backfill", problems).map(|part| backfill(part, problems));
    migrations.backfill = paced.unwrap_or_default();
    let path = section.path_of("rehearse");
    let rehearsed = section.node("rehearse").map(|node| rehearsal(path, node, problems));
    migrations.rehearsal = rehearsed.unwrap_or_default();
    section.done(problems);
    migrations
}

impl Migrations {
    /// These, and the others where these say nothing.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            place: self.place.or(under.place),
            folder: self.folder.or(under.folder),
            rails: self.rails.over(under.rails),
            database: self.database.or(under.database),
            via: self.via.or(under.via),
            engine: self.engine.or(under.engine),
            locks: self.locks.over(under.locks),
            backfill: self.backfill.over(under.backfill),
            rehearsal: self.rehearsal.over(under.rehearsal),
            after: self.after.or(under.after),
            when: self.when.or(under.when),
        }
    }

    /// When the last phase may begin.
    pub(super) fn contract(&self) -> ContractTerms {
        let usual = ContractTerms::default();
        ContractTerms { after: self.after.unwrap_or(usual.after), when: self.when.unwrap_or(usual.when) }
    }

    /// Says what is missing of the two that belong together; `own` is the path of the destination's own section, where it has one.
    pub(super) fn check(&self, own: Option<&str>, destination: &str, problems: &mut Problems) -> bool {
        let path = own.unwrap_or("migrations");
        let rails = self.rails.resolved();
        self.locks.check(path, rails.is_some(), problems);
        self.backfill.check(path, rails.is_some(), self.engine.unwrap_or_default(), problems);
        self.rehearsal.check(path, self.database.as_ref(), self.engine, rails.is_some(), problems);
        if let (Some(_), Some(_)) = (&self.folder, &rails) {
            let message = format!("both a folder and rails are given for destination '{destination}'");
            let both = Problem::new(path, self.rails.place.or(self.place), message);
            problems
                .add(both.hint("leave out `folder` to have Rails run its own, or `rails` for files of SQL"));
            return false;
        }
        if self.via == Some(Via::Host) && rails.is_some() && self.database.is_none() {
            let message = "no database is named that would be reached so: Rails, on the host, finds its own";
            let idle = Problem::new(&format!("{path}.via"), self.place, message);
            problems.add(idle.hint("add `database`, or leave out `via`"));
        }
        let (missing, hint) = match (&self.folder, &self.database) {
            (Some(_), None) => (
                "database",
                "add `database: env://DATABASE_URL`, in the file's migrations or in the destination's",
            ),
            (None, Some(_)) if rails.is_none() => (
                "folder",
                "add `folder: db/migrate`, or `rails: true`, in the file's migrations or in the destination's",
            ),
            _ => return true,
        };
        let message = format!("no {missing} is given for destination '{destination}'");
        problems.add(Problem::new(path, self.place, message).hint(hint));
        false
    }
}
