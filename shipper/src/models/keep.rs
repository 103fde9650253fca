//! Which versions are on a host, and which are to stay.

use std::collections::HashSet;
use std::time::Duration;

use bollard::query_parameters::ListContainersOptionsBuilder;
use cutover_core::{Model, ServiceKey};
use cutover_fleet::{Labels, Machine};
use cutover_model::{Answer, Call, Pruning, Sum};

use super::helper::Helper;
use super::{MODELS, ModelError, folder, folder_of, sum};
use crate::Result;

/// How long a host may take to list folders.
const WITHIN: Duration = Duration::from_secs(20);

/// The models that are not whole on the host.
pub(super) async fn lacking<'a>(
    machine: &Machine,
    key: &ServiceKey,
    models: &'a [Model],
) -> Result<Vec<&'a Model>> {
    let there = there(machine, key).await?;
    Ok(models.iter().filter(|model| !there.contains(&path_of(key, model))).collect())
}

/// Removes the versions of a service's models from the host but those in `kept` and those that a container has mounted; answers with
/// their number. A host that has no others isn't asked further.
///
/// # Errors
/// A host without a proxy's container, whose image is the helper; a host or a Docker that can't be reached.
pub async fn prune(machine: &Machine, key: &ServiceKey, kept: &[&Model]) -> Result<u32> {
    let mut needed: HashSet<String> = kept.iter().map(|model| path_of(key, model)).collect();
    // Listed before the containers: what is mounted later is none of these.
    let there = there(machine, key).await?;
    needed.extend(mounted(machine, key).await?);
    if there.is_subset(&needed) {
        return Ok(0);
    }
    let begins = format!("{MODELS}/{}/", folder(key));
    let of = |path: &String| {
        let (model, version) = path.strip_prefix(&begins)?.split_once('/')?;
        Some((model.to_owned(), version.parse::<Sum>().ok()?))
    };
    let call = Pruning { folder: folder(key), kept: needed.iter().filter_map(of).collect() };
    let mut helper = Helper::start(machine, key).await?;
    let pruned = async {
        helper.line.say(&Call::Prune(call), &[]).await?;
        match helper.line.hear().await? {
            Answer::Pruned { removed } => Ok(removed),
            Answer::Refused(refusal) => {
                Err(ModelError::Helper { host: machine.name().clone(), reason: refusal.to_string() })
            }
            _ => Err(helper.line.not_understood(None)),
        }
    };
    let pruned = pruned.await;
    helper.end().await?;
    Ok(pruned?)
}

/// The folders of all versions of a service that are on the host.
async fn there(machine: &Machine, key: &ServiceKey) -> Result<HashSet<String>> {
    let list = "cd \"$1\" 2>/dev/null && find . -mindepth 2 -maxdepth 2 -type d";
    let within = format!("{MODELS}/{}", folder(key));
    let said = machine.host().run(&["sh", "-c", list, "sh", &within], WITHIN).await?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(said.lines().filter_map(|line| Some(format!("{within}/{}", line.strip_prefix("./")?))).collect())
}

/// The folders that containers of the service have mounted.
async fn mounted(machine: &Machine, key: &ServiceKey) -> Result<Vec<String>> {
    let labels = Labels::of_service(key).into_iter().map(|(name, value)| format!("{name}={value}"));
    let filters = [("label", labels.collect::<Vec<_>>())].into();
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listed = machine.docker().await?.list_containers(Some(options)).await;
    let listed = listed.map_err(machine.host().docker_failed("listing containers"))?;
    let mounts = listed.into_iter().flat_map(|container| container.mounts.unwrap_or_default());
    Ok(mounts.filter_map(|mount| mount.source).collect())
}

fn path_of(key: &ServiceKey, model: &Model) -> String {
    let version = sum(&model.version).map(|sum| sum.to_string()).unwrap_or_default();
    format!("{MODELS}/{}/{version}", folder_of(key, model))
}
