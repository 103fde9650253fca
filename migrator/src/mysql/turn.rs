//! The turn that migrators take in a database, and the mark of the one that is at work for a service. Both are locks of the
//! server's (`GET_LOCK`), which end with their session, whatever ends that, and not before its last statement has.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedSender;

use super::processes::Processes;
use super::{Session, fault, fence};
use crate::{Backend, Error, Limits, Progress, Work};

/// How long to wait between two tries to get the turn, with as much again by chance.
const POLL: Duration = Duration::from_millis(100);

/// How long a session whose claim is over may take to end by itself before it is ended.
pub(super) const GRACE: Duration = Duration::from_secs(3);

impl Session {
    /// Waits until no other migrator works in this database. The lock is asked for again and again instead of waited for: so
    /// whoever must not go on can be ended meanwhile.
    pub(super) async fn take_turn(
        &mut self,
        work: &Work,
        limits: &Limits,
        progress: &UnboundedSender<Progress>,
    ) -> Result<(), Error> {
        let (begun, turn) = (Instant::now(), self.turn().await?);
        let (mut told, mut ended) = (false, false);
        while !self.try_lock(&turn).await? {
            if begun.elapsed() >= GRACE && !ended {
                ended = true;
                fence::end_stale(self, work, &turn).await?;
            }
            let late = begun.elapsed() >= limits.turn;
            if late || !told {
                let holder = self.holder(&turn).await?;
                if late {
                    let (server, holder) = (self.name().to_owned(), holder.map(Box::new));
                    return Err(Error::Turn { server, waited: begun.elapsed(), holder });
                }
                // Nobody listening is no reason to stop.
                let _ = progress.send(Progress::Waiting { holder });
                told = true;
            }
            tokio::time::sleep(POLL + POLL.mul_f64(fastrand::f64())).await;
        }
        self.verify().await
    }

    /// Lets others have the turn.
    pub(super) async fn give_turn(&mut self) -> Result<(), Error> {
        let turn = self.turn().await?;
        let given = self.rows::<Option<i64>>("SELECT RELEASE_LOCK(?)", (turn,)).await;
        given.map(drop).map_err(self.error("give the turn back"))
    }

    /// The name of the turn of this database.
    async fn turn(&mut self) -> Result<String, Error> {
        Ok(lock("turn", &[&self.database().await?]))
    }

    /// The name of the lock of whoever is at work for `service` in this database.
    pub(super) async fn mark(&mut self, service: &str) -> Result<String, Error> {
        Ok(lock("work", &[&self.database().await?, service]))
    }

    /// Takes the lock `name` where nobody has it.
    pub(super) async fn try_lock(&mut self, name: &str) -> Result<bool, Error> {
        let taken = self.rows::<Option<i64>>("SELECT GET_LOCK(?, 0)", (name,)).await;
        let taken = taken.map_err(self.error("ask for the turn"))?;
        Ok(taken.first().copied().flatten() == Some(1))
    }

    /// The id of the session that has the lock `name`.
    pub(super) async fn locked_by(&mut self, name: &str) -> Result<Option<u64>, Error> {
        let holder = self.rows::<Option<u64>>("SELECT IS_USED_LOCK(?)", (name,)).await;
        let holder = holder.map_err(self.error("see who has the turn"))?;
        Ok(holder.first().copied().flatten())
    }

    /// Ends the session that has the lock `name`, whichever that is at this moment. That it has ended meanwhile is as good.
    pub(super) async fn end_holder(&mut self, name: &str) -> Result<(), Error> {
        match self.run(&format!("KILL IS_USED_LOCK('{name}')")).await {
            Err(error) if fault::is_gone(&error) => Ok(()),
            ended => ended.map_err(self.error("end the session of an earlier claim")),
        }
    }

    async fn holder(&mut self, turn: &str) -> Result<Option<Backend>, Error> {
        let Some(id) = self.locked_by(turn).await? else { return Ok(None) };
        // That it can't be seen is no reason to fail.
        let seen = Processes::of(self).only(self, &[id]).await.unwrap_or_default();
        Ok(seen.0.into_iter().next())
    }

    async fn database(&mut self) -> Result<String, Error> {
        let name = self.query::<String>("SELECT DATABASE()").await;
        Ok(name.map_err(self.error("ask for the database's name"))?.into_iter().next().unwrap_or_default())
    }
}

/// The name of a lock. They are the whole server's, have 64 characters at most, and no upper and lower case (MySQL's manual,
/// 14.14).
fn lock(what: &str, parts: &[&str]) -> String {
    let hash = Sha256::digest(parts.join("\0"));
    let hex: String = hash.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
    format!("cutover.{what}.{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_a_name_that_every_server_takes() {
        let name = lock("work", &["shop", "billing"]);
        assert!(name.len() <= 64 && name.starts_with("cutover.work."), "{name}");
        assert_ne!(name, lock("work", &["shop", "orders"]));
        assert_ne!(lock("turn", &["shop"]), lock("turn", &["Shop"]));
    }
}
