//! The fence, raised before containers are touched.

use cutover_core::{Epoch, Plan};
use cutover_fleet::{Error, Machine};

/// Makes sure that no worker that comes late can still send traffic to what is about to be started or removed: the proxy
/// refuses every older claim from now on, and gives the traffic back where an earlier restore of the deployment never
/// arrived. Docker itself refuses nobody.
///
/// # Errors
/// A proxy that refuses, because a newer claim or another journal has been there, or that doesn't answer. One that isn't
/// there at all is no error: nothing gets traffic through it.
pub(crate) async fn raise(machine: &Machine, plan: &Plan, epoch: &Epoch) -> Result<(), Error> {
    match machine.proxy().restore(&plan.key, epoch, &plan.deployment).await {
        Ok(_) | Err(Error::NoProxy { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
