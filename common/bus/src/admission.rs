//! Which messages of the log count: those signed by one who may write them, that stand where their author has put them.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::signature::Flaw;
use crate::stored::Stored;
use crate::{Error, Journal};

/// Questions to the server that are waited for at once.
const ASKED_AT_ONCE: usize = 32;

/// The last message of each subject among those that were read one after the other, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Order(HashMap<String, u64>);

impl Journal {
    /// Whether a message of the log counts; one that doesn't is said and counted.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub(crate) async fn admits(&self, stored: &Stored) -> Result<bool, Error> {
        let flaws = self.flaws(&mut Order::default(), std::slice::from_ref(stored)).await?;
        self.say(stored, flaws.get(&stored.sequence));
        Ok(flaws.is_empty())
    }

    /// Says and counts that a message is left out, where it has a flaw.
    pub(crate) fn say(&self, stored: &Stored, flaw: Option<&Flaw>) {
        let Some(flaw) = flaw else { return };
        let (subject, sequence) = (&stored.subject, stored.sequence);
        tracing::warn!(%subject, sequence, error = %flaw, "an entry of the journal is left out");
        self.count(flaw.as_str());
    }

    /// Those of some messages of the log that don't count, by sequence, and why. They are in the order in which they are stored, and
    /// follow those that `order` knows.
    ///
    /// A server that stores a message compares what it expects to be the last on its subject with what is; but it can be made not
    /// to, by headers that it reads otherwise than who reads the journal. So the place is looked at: what was
    /// signed for one place is nothing in another.
    pub(crate) async fn flaws(
        &self,
        order: &mut Order,
        entries: &[Stored],
    ) -> Result<BTreeMap<u64, Flaw>, Error> {
        self.learn(entries).await?;
        let roster = self.roster();
        let (mut flaws, mut unsure) = (BTreeMap::new(), Vec::new());
        for stored in entries {
            let before = order.0.insert(stored.subject.clone(), stored.sequence);
            if let Err(flaw) = roster.admits(self.id(), stored) {
                flaws.insert(stored.sequence, flaw);
                continue;
            }
            let Some(expected) = stored.expected.as_ref().filter(|_| roster.asks_at(stored.sequence)) else {
                continue;
            };
            match expected.parse() {
                Ok(expected) if before == Some(expected) => {}
                Ok(expected) => {
                    unsure.push(self.is_misplaced(expected, stored.subject.clone(), stored.sequence))
                }
                Err(_) => drop(flaws.insert(stored.sequence, Flaw::Altered)),
            }
        }
        let asked: Vec<_> = stream::iter(unsure).buffered(ASKED_AT_ONCE).try_collect().await?;
        let misplaced = asked.into_iter().filter(|(_, is_misplaced)| *is_misplaced);
        flaws.extend(misplaced.map(|(sequence, _)| (sequence, Flaw::Misplaced)));
        Ok(flaws)
    }

    /// Whether the message at a sequence is not the first one of its subject after the one that it expects to be the last.
    async fn is_misplaced(
        &self,
        expected: u64,
        subject: String,
        sequence: u64,
    ) -> Result<(u64, bool), Error> {
        let first = Stored::next(self.bus(), expected.saturating_add(1), &subject).await?;
        // It may have been purged since it was read.
        Ok((sequence, first.is_some_and(|first| first.sequence < sequence)))
    }

    /// Reads whose signatures count, where one of some messages of the log is signed by a key that wasn't known when it was read last.
    async fn learn(&self, entries: &[Stored]) -> Result<(), Error> {
        let Some(last) = entries.last().filter(|last| last.sequence > self.roster_seen_at()) else {
            return Ok(());
        };
        let roster = self.roster();
        let is_unknown = |stored: &Stored| roster.asks_at(stored.sequence) && !roster.names_key_of(stored);
        if entries.iter().any(is_unknown) {
            self.read_roster(last.sequence).await?;
        }
        Ok(())
    }
}
