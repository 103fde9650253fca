//! The rehearsal of a deployment's migrations, before the first of them touches the database.

use cutover_bus::Assignment;
use cutover_core::{Failure, RehearsalTerms, Rehearsed};
use tokio::sync::mpsc::unbounded_channel;

use crate::ledger::Refusal;
use crate::rails::{self, RailsError};
use crate::worker::{Migrator, failure, resolved};
use crate::{Error, Limits, Protocol, Target, Work, rehearse};

impl Migrator {
    /// Rehearses what is asked for, and answers with what was seen.
    pub(crate) async fn rehearse(&self, assignment: &Assignment) -> Result<Vec<Rehearsed>, Failure> {
        let plan = assignment.plan();
        let settings = &plan.release.settings;
        let (Some(terms), Some(database)) = (&settings.rehearsal, &settings.database) else {
            return Ok(Vec::new());
        };
        let (copy, original) = (resolved(&terms.database, plan).await?, resolved(database, plan).await?);
        let way_to_copy = self.tunnel(assignment, &copy, terms.via).await?;
        let way = self.tunnel(assignment, &original, settings.via).await?;
        let limit = terms.timeout.0;
        if let Some(rails) = &settings.rails {
            let (copy, original) = (Target::by(&copy, &way_to_copy), Target::by(&original, &way));
            let run = rails::rehearse(self.fleet()?, assignment, rails, terms, copy, original);
            return match tokio::time::timeout(limit, Box::pin(run)).await {
                Ok(ended) => ended.map_err(|error| match error {
                    RailsError::Database(error) => explained(&error, terms, assignment),
                    error => in_rehearsal(error.into()),
                }),
                Err(_) => Err(late(terms)),
            };
        }
        let migrations = self.read(assignment, |_| true).await?;
        let work = Work { migrations, ..Work::of(assignment) };
        let limits = Limits {
            turn: limit.mul_f64(0.9),
            hold: Some(terms.hold.0),
            ..Limits::of(&settings.locks, &settings.backfill)
        };
        let (progress, mut told) = unbounded_channel();
        let run = async {
            let (copy, original) = (Target::by(&copy, &way_to_copy), Target::by(&original, &way));
            let run = rehearse(copy, original, &work, &limits, &progress);
            let ended = tokio::time::timeout(limit, Box::pin(run)).await;
            drop(progress);
            ended
        };
        let listen = async {
            let mut protocol = Protocol::default();
            while let Some(event) = told.recv().await {
                let text = format!("rehearsal: {event}");
                assignment.line(&text).await;
                assignment.progress(cutover_core::Progress::Step(text)).await;
                protocol.hear(&event);
            }
            protocol.done()
        };
        let (ended, seen) = tokio::join!(run, listen);
        match ended {
            Ok(Ok(())) => Ok(seen),
            Ok(Err(error)) => Err(explained(&error, terms, assignment)),
            Err(_) => Err(late(terms)),
        }
    }
}

fn late(terms: &RehearsalTerms) -> Failure {
    Failure::lasting(format!("the rehearsal took longer than {}", terms.timeout))
        .hint("raise migrations.rehearse.timeout in the deploy file; the database was not touched")
}

fn in_rehearsal(failure: Failure) -> Failure {
    let message = format!("in the rehearsal, and not on the database itself: {}", failure.message);
    Failure { message, ..failure }
}

/// The error, and what to do about it.
fn explained(error: &Error, terms: &RehearsalTerms, assignment: &Assignment) -> Failure {
    let plan = assignment.plan();
    let failure = in_rehearsal(failure(error, &plan.key.service, plan.release.settings.engine));
    match error {
        Error::Refused(Refusal::Changed { .. }) => failure.hint(
            "the copy has what was rehearsed before it was changed: restore it anew, then `cutover replay`",
        ),
        Error::Held { .. } => failure.hint(format!(
            "make smaller parts of it, or a backfill of what writes rows; or, where that may be, raise \
             migrations.rehearse.hold, which is {}",
            terms.hold
        )),
        Error::NoCopy | Error::Tied { .. } => failure.hint(
            "have migrations.rehearse name another database, such as one that a backup was restored to",
        ),
        _ => failure,
    }
}
