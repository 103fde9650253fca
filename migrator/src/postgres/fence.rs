//! By whose authority the schema was changed last, and the session that had it: whoever comes later sees to it that nothing
//! of that is still at work.

use std::time::{Duration, Instant};

use cutover_core::{Epoch, JournalId};

use super::ledger::is_there;
use super::{Ledger, Session};
use crate::ledger::Refusal;
use crate::{Error, Limits, Target, Work, ledger};

/// How long a session whose claim is over may take to notice that its client is gone, which takes the server a second,
/// before it is ended.
pub(super) const GRACE: Duration = Duration::from_secs(3);

/// How long whoever has ended a session takes to raise the fence after that.
const RAISED: Duration = Duration::from_secs(1);

/// From one look to the next.
const LOOKS: Duration = Duration::from_millis(50);

/// Makes an epoch the highest, and this session the one that has it.
const RAISE: &str = "WITH session AS (INSERT INTO cutover_ledger.sessions \
    SELECT $1, pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid() \
    ON CONFLICT (service) DO UPDATE SET pid = excluded.pid, started_at = excluded.started_at) \
    INSERT INTO cutover_ledger.fence VALUES ($1, $2, $3, now()) ON CONFLICT (service) DO UPDATE \
    SET epoch_journal = excluded.epoch_journal, epoch_sequence = excluded.epoch_sequence, raised_at = excluded.raised_at";

/// The session that has raised the fence, as long as it lives.
const LAST: &str = "FROM cutover_ledger.sessions s JOIN cutover_ledger.fence f USING (service) \
    JOIN pg_stat_activity a ON a.pid = s.pid AND a.backend_start = s.started_at \
    WHERE s.service = $1 AND a.pid <> pg_backend_pid()";

impl Ledger<'_> {
    /// Takes the authority over: sees that the epoch may, waits until no session of an earlier claim is at work for this
    /// service, and makes it the highest. To be called with the turn.
    pub(crate) async fn take_authority(&self, work: &Work, limits: &Limits) -> Result<(), Error> {
        ledger::admit(self.fence().await?.as_ref(), &work.epoch)?;
        let begun = Instant::now();
        let mut ended = false;
        let last = format!("SELECT EXISTS (SELECT {LAST})");
        loop {
            let row = self.session.client().query_one(&last, &[&self.service]).await;
            let at_work: bool =
                row.and_then(|row| row.try_get(0)).map_err(self.session.error("see who has been here"))?;
            if !at_work {
                return self.raise(&work.epoch).await;
            }
            if begun.elapsed() >= limits.turn {
                let (server, waited) = (self.session.server().to_owned(), begun.elapsed());
                return Err(Error::Turn { server, waited, holder: None });
            }
            if begun.elapsed() >= GRACE && !ended {
                ended = true;
                let end = format!("SELECT pg_terminate_backend(a.pid) {LAST}");
                let done = self.session.client().execute(&end, &[&self.service]).await;
                done.map_err(self.session.error("end the session of an earlier claim"))?;
            }
            tokio::time::sleep(LOOKS).await;
        }
    }

    /// The highest epoch that has changed the schema.
    pub(super) async fn fence(&self) -> Result<Option<Epoch>, Error> {
        let fence = "SELECT epoch_journal, epoch_sequence FROM cutover_ledger.fence WHERE service = $1";
        let row = self.session.client().query_opt(fence, &[&self.service]).await;
        row.and_then(|row| {
            row.map(|row| {
                let sequence: i64 = row.try_get(1)?;
                Ok(Epoch { journal: JournalId(row.try_get(0)?), sequence: sequence.unsigned_abs() })
            })
            .transpose()
        })
        .map_err(self.session.error("read the fence"))
    }

    async fn raise(&self, epoch: &Epoch) -> Result<(), Error> {
        let (journal, sequence) = columns(epoch);
        let raised = self.session.client().execute(RAISE, &[&self.service, &journal, &sequence]).await;
        raised.map(drop).map_err(self.session.error("raise the fence"))
    }
}

/// Why the session of `work` was ended, where that was because of a later claim, or of another journal: seen in another session.
pub(super) async fn overtaken(database: Target<'_>, work: &Work, limits: &Limits) -> Option<Refusal> {
    let begun = Instant::now();
    // Whoever can't ask knows no more than that the session is gone.
    let session = Session::open(database, limits).await.ok()?;
    let ledger = Ledger { session: &session, service: work.service.as_str() };
    let mut refusal = None;
    while refusal.is_none() && begun.elapsed() < RAISED && is_there(&session).await.ok()? {
        refusal = ledger::admit(ledger.fence().await.ok()?.as_ref(), &work.epoch).err();
        tokio::time::sleep(LOOKS).await;
    }
    session.close().await;
    refusal
}

/// Ends the session that keeps the turn from us, where its claim is an older one of ours: its worker is gone, or frozen.
pub(super) async fn end_stale(session: &Session, work: &Work) -> Result<(), Error> {
    if !is_there(session).await? {
        return Ok(());
    }
    let (journal, sequence) = columns(&work.epoch);
    let end = format!(
        "SELECT pg_terminate_backend(a.pid) {LAST} AND f.epoch_journal = $2 AND f.epoch_sequence < $3"
    );
    let done = session.client().execute(&end, &[&work.service.as_str(), &journal, &sequence]).await;
    done.map(drop).map_err(session.error("end the session of an earlier claim"))
}

/// An epoch as its columns have it. No journal gets to 2^63 facts.
pub(super) fn columns(epoch: &Epoch) -> (&str, i64) {
    (&epoch.journal.0, i64::try_from(epoch.sequence).unwrap_or(i64::MAX))
}
