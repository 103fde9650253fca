use std::path::Path;
use std::time::Duration;

use super::control_plane::Record;
use super::{Error, Home, keeper};

/// What the supervisor needs at most: the programs have 10 s, then the NATS server has as long.
const SUPERVISOR_LIMIT: Duration = Duration::from_secs(25);

/// What was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// How many processes: supervisor, NATS server and programs.
    pub(crate) processes: usize,
}

/// Stops the control plane of a home. Its journal and its artifacts stay. Answers what was stopped: nothing, where
/// nothing ran.
///
/// # Errors
/// A process that can't be stopped.
pub(crate) async fn down(home: &Path) -> Result<Stopped, Error> {
    if !home.exists() {
        return Ok(Stopped { processes: 0 });
    }
    let home = Home::open(home)?;
    let _lock = home.lock().await?;
    match Record::read(&home)? {
        Some(record) => stop(&home, &record).await,
        None => Ok(Stopped { processes: 0 }),
    }
}

/// Stops the supervisor, which stops the others in their order, and then whatever is left of its run.
pub(super) async fn stop(home: &Home, record: &Record) -> Result<Stopped, Error> {
    let run = &record.control_plane.run;
    let processes = run.processes()?.len();
    run.terminate(record.supervisor, SUPERVISOR_LIMIT).await;
    run.take_down(keeper::GRACE).await?;
    Record::remove(home)?;
    Ok(Stopped { processes })
}
