//! The key `migrations.rehearse`: a copy of the database that migrations run on first. A reference, or a section.

use super::error::{Place, Problem, Problems};
use super::node::{Node, Value};
use super::section::{Section, scalar};
use super::units::limit;
use crate::{Engine, Reference, RehearsalTerms, Span, Via};

/// What stands at the key.
#[derive(Clone, Default)]
pub(super) struct Rehearsal {
    place: Option<Place>,
    database: Option<Reference>,
    via: Option<Via>,
    hold: Option<Span>,
    timeout: Option<Span>,
}

/// Reads what stands at the key.
pub(super) fn rehearsal(path: String, node: &Node, problems: &mut Problems) -> Rehearsal {
    if !matches!(node.value, Value::Map(_)) {
        problems.hide(node);
        let database = scalar(&path, node, str::parse, problems);
        return Rehearsal { place: Some(node.place), database, ..Rehearsal::default() };
    }
    let Some(mut section) = Section::of(path, node, problems) else { return Rehearsal::default() };
    if let Some(node) = section.node("database") {
        problems.hide(node);
    }
    let rehearsal = Rehearsal {
        place: section.place,
        database: section.value("database", str::parse, problems),
        via: section.value("via", str::parse, problems),
        hold: section.value("hold", limit, problems),
        timeout: section.value("timeout", limit, problems),
    };
    section.done(problems);
    rehearsal
}

impl Rehearsal {
    /// This, and the other where this one says nothing.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            place: self.place.or(under.place),
            database: self.database.or(under.database),
            via: self.via.or(under.via),
            hold: self.hold.or(under.hold),
            timeout: self.timeout.or(under.timeout),
        }
    }

    /// What it means; `via` is how the database itself is reached. None where no copy is named.
    pub(super) fn resolved(&self, via: Via) -> Option<RehearsalTerms> {
        let database = self.database.clone()?;
        Some(RehearsalTerms {
            database,
            via: self.via.unwrap_or(via),
            hold: self.hold.unwrap_or(RehearsalTerms::HOLD),
            timeout: self.timeout.unwrap_or(RehearsalTerms::TIMEOUT),
        })
    }

    /// Says what can't be rehearsed.
    pub(super) fn check(
        &self,
        path: &str,
        database: Option<&Reference>,
        engine: Option<Engine>,
        is_rails: bool,
        problems: &mut Problems,
    ) {
        if self.place.is_none() {
            return;
        }
        let path = format!("{path}.rehearse");
        let mut add = |message: &str, hint| problems.add(Problem::new(&path, self.place, message).hint(hint));
        if is_rails && engine.unwrap_or_default() != Engine::Postgresql {
            add("migrations of Rails are rehearsed on PostgreSQL alone", "leave out `rehearse`");
        } else if is_rails && database.is_none() {
            add(
                "without the database itself, nobody knows what it lacks, and that the copy isn't it",
                "add `database: env://DATABASE_URL` to `migrations`",
            );
        } else if is_rails && self.hold.is_some() {
            add("how long Rails' migrations hold locks isn't seen", "leave out `hold`");
        } else if self.database.is_none() {
            add("no database is named to rehearse on", "add `database: env://REHEARSAL_URL`");
        } else if self.database.as_ref() == database {
            add(
                "this is the database itself: all phases would run on it at once",
                "name a copy of it, such as a restored backup",
            );
        }
    }
}
