//! The watch over the containers of some replicas.

use std::future::pending;
use std::net::IpAddr;
use std::time::Duration;

use cutover_core::Replica;
use cutover_fleet::Machine;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use crate::Error;
use crate::reading::reading;

/// A replica that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// The container's name.
    pub name: &'a str,
    /// Where requests go to it; none: it gets none.
    pub address: Option<IpAddr>,
}

impl<'a> From<&'a Replica> for Charge<'a> {
    fn from(replica: &'a Replica) -> Self {
        Self { name: &replica.name, address: Some(replica.address.ip()) }
    }
}

impl<'a> From<&'a String> for Charge<'a> {
    fn from(job: &'a String) -> Self {
        Self { name: job, address: None }
    }
}

/// Watches replicas of a host, with a look at each `every` so often. Returns only once one of them can't serve any
/// more, or can't be looked at for longer than `patience`.
pub async fn first_trouble(
    machine: &Machine,
    charges: impl Iterator<Item = Charge<'_>>,
    every: Duration,
    patience: Duration,
) -> Error {
    let mut watches: FuturesUnordered<_> =
        charges.map(|charge| trouble(machine, charge, every, patience)).collect();
    match watches.next().await {
        Some(error) => error,
        None => pending().await,
    }
}

async fn trouble(machine: &Machine, charge: Charge<'_>, every: Duration, patience: Duration) -> Error {
    loop {
        if let Err(error) = look(machine, charge, patience).await {
            return error;
        }
        sleep(every).await;
    }
}

/// One look at a replica.
///
/// # Errors
/// [`Error::Trouble`] where it can't serve any more; [`Error::Unread`] where nobody can say for longer than `patience`.
pub async fn look(machine: &Machine, charge: Charge<'_>, patience: Duration) -> Result<(), Error> {
    let Charge { name, address } = charge;
    let what = format!("the condition of {name}");
    match reading(machine, &what, patience, || machine.trouble_of(name, address)).await? {
        Some(trouble) => Err(Error::Trouble(Box::new(trouble))),
        None => Ok(()),
    }
}
