//! Traffic back to what served before, on one host.

use cutover_core::{DeploymentId, Epoch, Plan};
use cutover_fleet::Machine;

use crate::Error;
use crate::switch::serving;

/// Takes a deployment of the plan's service back and raises the fence, whether it has the traffic or not; answers with
/// the deployment that serves now. Done again, it changes nothing.
pub(crate) async fn restore(
    machine: &Machine,
    plan: &Plan,
    epoch: &Epoch,
    deployment: &DeploymentId,
) -> Result<Option<String>, Error> {
    let restored = machine.proxy().restore(&plan.key, epoch, deployment).await?;
    let status = machine.proxy().service(&plan.key).await?;
    if serving(status.as_ref()) == Some(deployment.as_str()) {
        let (deployment, host) = (deployment.clone(), machine.name().clone());
        return Err(Error::StillServing { deployment, host });
    }
    Ok(restored)
}
