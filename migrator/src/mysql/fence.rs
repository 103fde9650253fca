//! By whose authority the schema was changed last: whoever comes later sees to it that nothing of an earlier claim is still at
//! work.

use std::time::{Duration, Instant};

use cutover_core::{Epoch, JournalId};

use super::ledger::is_there;
use super::turn::GRACE;
use super::{Ledger, Session};
use crate::ledger::Refusal;
use crate::{Error, Limits, Target, Work, ledger};

/// How long whoever has ended a session takes to raise the fence after that.
const RAISED: Duration = Duration::from_secs(1);

/// From one look to the next.
const LOOKS: Duration = Duration::from_millis(50);

/// The highest epoch. Locked until the transaction ends, so that whoever would raise it waits.
pub(super) const HELD: &str =
    "SELECT epoch_journal, epoch_sequence FROM cutover_ledger_fence WHERE service = ? LOCK IN SHARE MODE";
const FENCE: &str = "SELECT epoch_journal, epoch_sequence FROM cutover_ledger_fence WHERE service = ?";

const RAISE: &str = "INSERT INTO cutover_ledger_fence VALUES (?, ?, ?, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE \
    epoch_journal = VALUES(epoch_journal), epoch_sequence = VALUES(epoch_sequence), raised_at = VALUES(raised_at)";

impl Ledger<'_> {
    /// Takes the authority over: sees that the epoch may, waits until no session of an earlier claim is at work for this
    /// service, and makes it the highest. To be called with the turn.
    pub(super) async fn take_authority(
        self,
        session: &mut Session,
        work: &Work,
        limits: &Limits,
    ) -> Result<(), Error> {
        ledger::admit(self.fence(session).await?.as_ref(), &work.epoch)?;
        let (begun, mark) = (Instant::now(), session.mark(self.service).await?);
        let mut ended = false;
        while !session.try_lock(&mark).await? {
            if begun.elapsed() >= limits.turn {
                let (server, waited) = (session.name().to_owned(), begun.elapsed());
                return Err(Error::Turn { server, waited, holder: None });
            }
            if begun.elapsed() >= GRACE && !ended {
                ended = true;
                session.end_holder(&mark).await?;
            }
            tokio::time::sleep(LOOKS).await;
        }
        let (journal, sequence) = columns(&work.epoch);
        let raised = session.execute(RAISE, (self.service, journal, sequence)).await;
        raised.map(drop).map_err(session.error("raise the fence"))
    }

    /// The highest epoch that has changed the schema.
    pub(super) async fn fence(self, session: &mut Session) -> Result<Option<Epoch>, Error> {
        let fence = session.rows::<(String, u64)>(FENCE, (self.service,)).await;
        let epoch = |(journal, sequence)| Epoch { journal: JournalId(journal), sequence };
        Ok(fence.map_err(session.error("read the fence"))?.into_iter().next().map(epoch))
    }
}

/// Why the session of `work` was ended, where that was because of a later claim, or of another journal: seen in another session.
pub(super) async fn overtaken(database: Target<'_>, work: &Work, limits: &Limits) -> Option<Refusal> {
    let begun = Instant::now();
    // Whoever can't ask knows no more than that the session is gone.
    let mut session = Session::open(database, work.engine, limits).await.ok()?;
    let ledger = Ledger { service: work.service.as_str() };
    let mut refusal = None;
    while refusal.is_none() && begun.elapsed() < RAISED && is_there(&mut session).await.ok()? {
        refusal = ledger::admit(ledger.fence(&mut session).await.ok()?.as_ref(), &work.epoch).err();
        tokio::time::sleep(LOOKS).await;
    }
    session.close().await;
    refusal
}

/// Ends the session that keeps the turn from us, where it is at work for our service under an older claim: its worker is gone, or
/// frozen.
pub(super) async fn end_stale(session: &mut Session, work: &Work, turn: &str) -> Result<(), Error> {
    if !is_there(session).await? {
        return Ok(());
    }
    let service = work.service.as_str();
    let fence = Ledger { service }.fence(session).await?;
    let is_older = fence
        .is_some_and(|fence| fence.journal == work.epoch.journal && fence.sequence < work.epoch.sequence);
    let mark = session.mark(service).await?;
    let holder = session.locked_by(turn).await?;
    match holder {
        Some(_) if is_older && session.locked_by(&mark).await? == holder => session.end_holder(&mark).await,
        _ => Ok(()),
    }
}

/// An epoch as its columns have it. No journal gets to 2^63 facts.
pub(super) fn columns(epoch: &Epoch) -> (&str, i64) {
    (&epoch.journal.0, i64::try_from(epoch.sequence).unwrap_or(i64::MAX))
}
