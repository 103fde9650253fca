use std::net::SocketAddr;

use super::outgoing::Outgoing;
use super::rejection::Rejection;
use crate::routes::{Found, RouteTable};
use crate::targets::Lease;
use crate::traffic::{Reflection, Side, Stamp, Turn};

/// How often a target may refuse a request unprocessed until another one is asked: it may be about to close one connection, or
/// have more requests on it than it takes.
const MOST_REFUSALS: u32 = 3;

/// What became of a request so far: its next try goes on from there.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    tried: Vec<SocketAddr>,
    /// Drawn where there is a canary.
    pub(crate) side: Option<Side>,
    refusals: u32,
    /// What the client gets with the answer.
    pub(crate) stamp: Option<Stamp>,
    /// What is to be sent beside it.
    pub(crate) reflection: Option<Reflection>,
    /// It has waited for its turn, and has it now.
    turn: Option<Turn>,
    waited: bool,
}

impl Tries {
    /// The targets that did not answer.
    pub(crate) fn tried(&self) -> &[SocketAddr] {
        &self.tried
    }

    /// Whether its time begins only now, as the service was paused.
    pub(crate) fn has_waited(&self) -> bool {
        self.waited && self.tried.is_empty()
    }

    pub(crate) fn has_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// The target for the next try, by the routes as they are now; where the service is paused, once it goes on.
    ///
    /// # Errors
    ///
    /// That of [`RouteTable::lease`], and [`Rejection::Paused`].
    pub(crate) async fn lease(
        &mut self,
        routes: &RouteTable,
        request: &Outgoing,
        worker: usize,
    ) -> Result<Lease, Rejection> {
        loop {
            match routes.lease(request, self)? {
                Found::Target(lease) => {
                    // Whoever waits next may follow.
                    self.turn = None;
                    if let Some(reflection) = self.reflection.take() {
                        reflection.send(request, lease.stripped(), worker);
                    }
                    return Ok(lease);
                }
                Found::Gate(gate) => (self.turn, self.waited) = (Some(gate.pass().await?), true),
            }
        }
    }

    /// Whether a target may be asked again that has not processed the request.
    pub(crate) fn may_insist(&mut self) -> bool {
        self.refusals += 1;
        self.refusals <= MOST_REFUSALS
    }

    /// The target did not answer: another one is asked, and none of the canary again.
    pub(crate) fn failed(&mut self, lease: &Lease) {
        self.tried.push(lease.target().address());
        self.side = self.side.map(|_| Side::Active);
    }
}
