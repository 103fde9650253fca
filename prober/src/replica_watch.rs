//! The watch over the containers of some replicas.

use std::future::pending;
use std::time::Duration;

use cutover_core::Replica;
use cutover_fleet::Machine;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use crate::Error;
use crate::reading::reading;

/// Watches the replicas of a host, with a look at each `every` so often. Returns only once one of them can't serve any
/// more, or can't be looked at for longer than `patience`.
pub(crate) async fn first_trouble(
    machine: &Machine,
    replicas: &[Replica],
    every: Duration,
    patience: Duration,
) -> Error {
    let mut watches: FuturesUnordered<_> =
        replicas.iter().map(|replica| trouble(machine, replica, every, patience)).collect();
    match watches.next().await {
        Some(error) => error,
        None => pending().await,
    }
}

async fn trouble(machine: &Machine, replica: &Replica, every: Duration, patience: Duration) -> Error {
    loop {
        if let Err(error) = look(machine, replica, patience).await {
            return error;
        }
        sleep(every).await;
    }
}

/// One look at a replica.
///
/// # Errors
/// [`Error::Trouble`] where it can't serve any more; [`Error::Unread`] where nobody can say for longer than `patience`.
pub(crate) async fn look(machine: &Machine, replica: &Replica, patience: Duration) -> Result<(), Error> {
    let what = format!("the condition of {}", replica.name);
    match reading(machine, &what, patience, || machine.trouble(replica)).await? {
        Some(trouble) => Err(Error::Trouble(Box::new(trouble))),
        None => Ok(()),
    }
}
