//! The fence in the database, where the migrator reaches it itself: whoever was overtaken finds it raised.

use std::sync::Arc;

use cutover_bus::Assignment;
use cutover_core::{Engine, Program, Via};
use cutover_fleet::Machine;
use cutover_secrets::Values;
use tokio::sync::mpsc::unbounded_channel;

use super::RailsError;
use crate::apply::place;
use crate::postgres::{Ledger, Session};
use crate::tunnel::Tunnel;
use crate::worker::tell;
use crate::{Error, Limits, Target, Work};

/// The database's turn, and the highest claim in its ledger, as long as this lives.
pub(super) struct Authority {
    session: Session,
    _tunnel: Option<Tunnel>,
}

impl Authority {
    /// Takes it. None where the migrator doesn't get there, as only the hosts may reach the database, or where the role may make no
    /// ledger: then the claim in the journal and Rails' own lock have to do, and the output says so.
    ///
    /// # Errors
    /// A claim that was overtaken, another migrator that doesn't end, a pooler between.
    pub(super) async fn take(
        assignment: &Assignment,
        machine: &Machine,
        limits: &Limits,
    ) -> Result<Option<Self>, RailsError> {
        let plan = assignment.plan();
        let settings = &plan.release.settings;
        let Some(database) = settings.database.as_ref().filter(|_| settings.engine == Engine::Postgresql)
        else {
            return Ok(None);
        };
        let values = Values::of(plan, Program::Migrator);
        let database = values.resolve(database).await.map_err(|source| cutover_fleet::Error::Secret {
            variable: super::DATABASE.to_owned(),
            source,
        })?;
        let work = Work { engine: Engine::Postgresql, ..Work::of(assignment) };
        let tunnel = match settings.via {
            Via::Direct => None,
            Via::Host => {
                let place = place(&database, Engine::Postgresql);
                let (name, port) = place.map_err(|error| RailsError::Database(Box::new(error)))?;
                Some(Tunnel::open(Arc::clone(machine.host()), name, port).await?)
            }
        };
        let (progress, told) = unbounded_channel();
        let take = async move {
            let target = Target::by(&database, &tunnel);
            let session = Session::open(target, limits).await?;
            session.verify_direct(target, limits).await?;
            session.take_turn(&work, limits, &progress).await?;
            Ledger::open(&session, &work.service).await?.take_authority(&work, limits).await?;
            Ok::<_, Error>(Self { session, _tunnel: tunnel })
        };
        match tokio::join!(take, tell(assignment, told)).0 {
            Ok(authority) => Ok(Some(authority)),
            Err(error) if !error.leaves_no_fence() => Err(RailsError::Database(Box::new(error))),
            Err(error) => {
                let failure = cutover_core::Failure::of(&error, false);
                let note = format!(
                    "without a fence in the database, as the migrator gets none: {}",
                    failure.message
                );
                assignment.line(&note).await;
                Ok(None)
            }
        }
    }

    /// Lets others have the turn.
    pub(super) async fn give(self) {
        self.session.close().await;
    }
}
