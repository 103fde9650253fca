//! A last look at the replicas before they get traffic: one that died after the probe must never get any.

use cutover_core::{Readiness, Replica};
use cutover_fleet::{LAST_LINES, Machine};
use futures_util::future::try_join_all;

use crate::Error;

/// Looks at all replicas side by side: whether their containers run as they were started, and whether they answer their
/// readiness path, once.
pub(crate) async fn check(
    machine: &Machine,
    replicas: &[Replica],
    readiness: &Readiness,
) -> Result<(), Error> {
    try_join_all(replicas.iter().map(|replica| check_one(machine, replica, readiness))).await?;
    Ok(())
}

async fn check_one(machine: &Machine, replica: &Replica, readiness: &Readiness) -> Result<(), Error> {
    let (trouble, answer) = tokio::join!(
        machine.trouble(replica),
        machine.ask(replica.address, &readiness.path, readiness.timeout.0)
    );
    if let Some(trouble) = trouble? {
        return Err(Error::Trouble(Box::new(trouble)));
    }
    if answer.as_ref().is_ok_and(|answer| answer.status.is_success()) {
        return Ok(());
    }
    // It may have died just after its container was looked at.
    if let Some(trouble) = machine.trouble(replica).await? {
        return Err(Error::Trouble(Box::new(trouble)));
    }
    let (name, host, path) = (replica.name.clone(), machine.name().clone(), readiness.path.clone());
    let last_lines = machine.last_lines(&replica.name, LAST_LINES).await;
    Err(match answer {
        Ok(answer) => Error::NotReady { replica: name, host, path, answer, last_lines },
        Err(source) => Error::NoAnswer { replica: name, host, path, source, last_lines },
    })
}
