//! Models on the hosts: a version gets there beside the image, is mounted from there, and goes when nothing needs it.
//!
//! Each version of a model is a folder of the host that never changes. It is put together by the helper, the proxy's own
//! image, in which only the folder of models is open to it: what is on the host already is found there, and the rest is
//! sent as bytes over a socket that leads through SSH straight to the helper. Through the Docker Engine the way is
//! half as fast: it costs more time for itself than SSH takes.

mod error;
mod helper;
mod keep;
mod sending;

use bollard::models::{Mount, MountType};
use cutover_core::{Digest, Model, Plan, Progress, ServiceKey};
use cutover_fleet::Machine;
use cutover_registry::Pace;
use cutover_store::Store;
use tokio::sync::watch;
use tokio::time::timeout;

pub use error::ModelError;
use helper::Helper;
pub use keep::prune;

use crate::Result;

/// The folder of all models on every host.
const MODELS: &str = "/var/lib/cutover/models";

/// Has all models of the plan whole on the host, within `timeouts.ship`. Answers with the bytes of chunks that were sent: what the
/// host has of them, in whichever version, is not. What was there of one when an attempt was interrupted is gone on with. Nothing
/// is sent faster than at `pace`.
///
/// # Errors
/// A model that isn't whole in the store, a disk without space for it, the time limit, a host without a proxy's container,
/// whose image is the helper; a host or a Docker that can't be reached.
pub async fn bring(
    machine: &Machine,
    (store, pace): (&Store, &Pace),
    plan: &Plan,
    progress: &watch::Sender<Progress>,
) -> Result<u64> {
    let settings = &plan.release.settings;
    if settings.models.is_empty() {
        return Ok(0);
    }
    let limit = settings.timeouts.ship;
    let brought = async {
        let lacking = keep::lacking(machine, &plan.key, &settings.models).await?;
        if lacking.is_empty() {
            return Ok(0);
        }
        let mut helper = Helper::start(machine, &plan.key).await?;
        let mut sent = 0;
        for model in lacking {
            let ended = sending::send(&mut helper, (store, pace), &plan.key, model, progress).await;
            match ended {
                Ok(bytes) => sent += bytes,
                Err(error) => {
                    helper.end().await?;
                    return Err(error);
                }
            }
        }
        helper.end().await?;
        Ok(sent)
    };
    let late = || ModelError::Late { host: machine.name().clone(), limit };
    timeout(limit.0, brought).await.unwrap_or_else(|_| Err(late().into()))
}

/// These models, as Docker mounts them. It refuses a folder that isn't there, and so a version that isn't whole.
pub(crate) fn mounts<'a>(key: &ServiceKey, models: impl Iterator<Item = &'a Model>) -> Vec<Mount> {
    let mount = |model: &Model| Mount {
        target: Some(model.mount.clone()),
        source: Some(format!("{MODELS}/{}/{}", folder_of(key, model), model.version.hex())),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..Mount::default()
    };
    models.map(mount).collect()
}

/// What Docker says of a mount whose folder is not on the host.
pub(crate) fn is_absent(message: &str) -> bool {
    message.contains("bind source path does not exist") && message.contains(MODELS)
}

/// The folder of a service's models, in that of all.
fn folder(key: &ServiceKey) -> String {
    format!("{}/{}", key.destination, key.service)
}

/// The folder of a model, in that of all.
fn folder_of(key: &ServiceKey, model: &Model) -> String {
    format!("{}/{}", folder(key), model.name)
}

/// A version as the helper names it.
fn sum(version: &Digest) -> Option<cutover_model::Sum> {
    version.hex().parse().ok()
}
