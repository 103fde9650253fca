//! Work messages as the server keeps them: none is stored twice, and each is delivered until it is acknowledged.

use std::collections::HashSet;

use cutover_core::{Effect, Service, Work};

use crate::journal::Journal;

/// The work messages of a service.
#[derive(Clone, Default)]
pub struct Messages {
    /// Those that are not acknowledged, each with its sequence.
    pub pending: Vec<(Work, u64)>,
    /// The ids of all that were ever stored.
    ids: HashSet<String>,
}

impl Messages {
    /// Publishes the work that follows from a state, which may be a state that somebody only thought would come.
    pub fn publish(&mut self, journal: &mut Journal, service: &Service) {
        for effect in service.effects(journal.now) {
            let Effect::Run(work) = effect else { continue };
            let round = service.deployment(&work.deployment).map_or(0, |deployment| deployment.round);
            if self.ids.insert(format!("{}/{}/{round}.{}", work.deployment, work.task, work.attempt)) {
                self.pending.push((work, journal.hint()));
            }
        }
    }

    /// Acknowledges a message, unless it is needed.
    pub fn acknowledge(&mut self, service: &Service, hint: u64) {
        self.pending.retain(|(work, sequence)| *sequence != hint || service.needs(work, *sequence));
    }
}
