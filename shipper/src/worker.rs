//! The stages of the shipper: ship, boot, retire, cool and discard.

use std::convert::Infallible;
use std::future::pending;

use cutover_bus::{Assignment, Performer};
use cutover_core::{Digest, Failure, KeptRelease, Output, Progress, SidecarImages, Stage};
use cutover_fleet::{Fleet, Machine};
use tokio::sync::watch;

use crate::models::{bring, prune};
use crate::{Error, Existing, Images, Origin, boot, discard, retire, ship};

/// Does the ship, boot, retire, cool and discard stages.
#[derive(Debug)]
pub struct Shipper {
    fleet: Fleet,
    origin: Origin,
}

impl Shipper {
    /// A shipper that reaches hosts through `fleet`, and sends images from `origin`.
    pub const fn new(fleet: Fleet, origin: Origin) -> Self {
        Self { fleet, origin }
    }

    async fn work(
        &self,
        assignment: &Assignment,
        progress: &watch::Sender<Progress>,
    ) -> Result<Output, Failure> {
        let machine = &self.fleet.machine(assignment.host()?);
        let (plan, epoch) = (assignment.plan(), &assignment.epoch);
        Ok(match assignment.task.stage {
            Stage::Ship => {
                let images = (image(assignment)?, &sidecar_images(assignment)?);
                let sent = ship(machine, &self.origin, plan, images, progress).await?;
                let from = (&self.origin.store, &self.origin.pace);
                let mut models = bring(machine, from, plan, progress).await;
                if matches!(&models, Err(Error::Model(error)) if error.is_full()) {
                    // What other attempts have left may be all that there is too much.
                    prune_models(machine, assignment).await;
                    models = bring(machine, from, plan, progress).await;
                }
                let models = models?;
                Output::Shipped { sent: sent + models }
            }
            Stage::Boot => {
                let (in_use, shared) = (assignment.service.in_use(), assignment.service.stays_in_use());
                let round_began = assignment.deployment().round_began;
                let existing = Existing { round_began, in_use: &in_use, shared: &shared };
                let images = Images { own: image(assignment)?, sidecars: &sidecar_images(assignment)? };
                let replicas = Box::pin(boot(machine, plan, images, epoch, existing, progress)).await?;
                Output::Booted { replicas }
            }
            Stage::Retire => {
                let (spared, images) =
                    (assignment.service.spared(assignment.deployment()), images(assignment)?);
                let image = image(assignment)?;
                let own = Images { own: image, sidecars: &sidecar_images(assignment)? };
                let stopped = retire(machine, plan, own, epoch, &spared, &images, progress).await?;
                prune_models(machine, assignment).await;
                Output::Retired { stopped }
            }
            Stage::Cool => {
                let images = images(assignment)?;
                let image = image(assignment)?;
                let own = Images { own: image, sidecars: &sidecar_images(assignment)? };
                let stopped = retire(machine, plan, own, epoch, &[], &images, progress).await?;
                prune_models(machine, assignment).await;
                Output::Cooled { stopped }
            }
            Stage::Discard => Output::Discarded { removed: discard(machine, plan, epoch, progress).await? },
            other => return Err(Failure::lasting(format!("{other} is no stage of the shipper"))),
        })
    }
}

impl Performer for Shipper {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        let (progress, told) = watch::channel(Progress::Bytes { done: 0, total: 0 });
        tokio::select! {
            ended = self.work(assignment, &progress) => ended,
            never = tell(assignment, told) => match never {},
        }
    }
}

/// Removes the versions of models that nothing needs. What can't be removed now is by the next deployment: it costs space, and
/// nothing else.
async fn prune_models(machine: &Machine, assignment: &Assignment) {
    // Since the task was claimed, a deployment may have begun and sent what it needs.
    let service = match assignment.service_now().await {
        Ok(service) => service,
        Err(error) => return stayed(machine, &error),
    };
    let Some(mut kept) = service.models_to_keep(assignment.deployment().id()) else { return };
    kept.extend(&assignment.plan().release.settings.models);
    match prune(machine, &assignment.plan().key, &kept).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(host = %machine.name(), removed, "pruned versions of models"),
        Err(error) => stayed(machine, &error),
    }
}

fn stayed(machine: &Machine, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(host = %machine.name(), error, "versions of models that nobody needs may have stayed");
}

/// The images that the host is to keep.
fn images(assignment: &Assignment) -> Result<Vec<&Digest>, Failure> {
    let kept = assignment.service.kept.iter().flat_map(KeptRelease::images);
    image(assignment)?;
    Ok(kept.chain(assignment.deployment().images()).collect())
}

/// The images of the sidecars of the deployment, all of them.
fn sidecar_images(assignment: &Assignment) -> Result<SidecarImages, Failure> {
    let images = assignment.deployment().sidecar_images();
    let sidecars = &assignment.plan().release.settings.sidecars;
    match sidecars.iter().find(|sidecar| !images.contains_key(&sidecar.name)) {
        Some(sidecar) => Err(no_image(assignment, &format!("sidecar {}", sidecar.name))),
        None => Ok(images),
    }
}

/// The image of the deployment.
fn image(assignment: &Assignment) -> Result<&Digest, Failure> {
    assignment.deployment().image().ok_or_else(|| no_image(assignment, "this deployment"))
}

fn no_image(assignment: &Assignment, part: &str) -> Failure {
    Failure::lasting(format!("{}: the journal names no image for {part}", assignment.task))
        .hint("build it again: `cutover replay --from build`")
}

/// Records how far the task is, as long as it runs.
async fn tell(assignment: &Assignment, mut told: watch::Receiver<Progress>) -> Infallible {
    while told.changed().await.is_ok() {
        let progress = told.borrow_and_update().clone();
        assignment.progress(progress).await;
    }
    pending().await
}
