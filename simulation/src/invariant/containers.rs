//! Containers: what is started, and what is removed.

use cutover_core::{Deployment, Replica, Service, Stage, Timestamp};

use super::{Violation, require, warm};
use crate::assignment::Assignment;
use crate::host::{Container, Host};
use crate::watch::Watch;

/// A container that is about to be removed.
pub(crate) struct Removal<'a> {
    pub(crate) host: &'a Host,
    pub(crate) container: &'a Container,
    pub(crate) by: &'a Assignment,
}

impl Removal<'_> {
    fn text(&self) -> String {
        let (task, claim) = (&self.by.task, self.by.claim);
        let by = self.by.deployment.id().short();
        let name = &self.container.replica.name;
        format!("{name} on {} is removed by {task} of {by}, claim {claim}", self.host.name)
    }

    /// Whether the deployment that runs retires what was live before it, and what was warm.
    fn retires(&self, service: &Service) -> bool {
        let running = service.running().filter(|running| running.id() == self.by.deployment.id());
        running.is_some() && self.by.task.stage == Stage::Retire
    }
}

/// What serves, or has requests in flight, is never removed.
pub(crate) fn what_serves_is_never_removed(removal: &Removal<'_>, now: Timestamp) -> Result<(), Violation> {
    let needed = removal.host.proxy.needs(&removal.container.replica, now);
    require(!needed, "what serves is never removed", || removal.text())
}

/// No worker, however late, can switch to what is removed: the fence is above every claim of such a switch.
pub(crate) fn what_is_removed_is_fenced_off(watch: &Watch, removal: &Removal<'_>) -> Result<(), Violation> {
    let switch = watch.last_switch(&removal.host.name, &removal.container.deployment);
    let holds = switch == 0 || removal.host.proxy.fence > switch;
    require(holds, "what is removed is fenced off", || {
        format!("{}, and claim {switch} may still switch to it", removal.text())
    })
}

/// While a deployment runs, only its own tasks remove its replicas, and nobody removes what it has booted as long as it goes
/// forward. What an earlier round has left, its boot replaces.
pub(crate) fn what_others_boot_is_left_alone(
    service: &Service,
    removal: &Removal<'_>,
) -> Result<(), Violation> {
    let Removal { host, container, by } = removal;
    let Some(running) = service.running().filter(|running| *running.plan.booted_by() == container.deployment)
    else {
        return Ok(());
    };
    let is_booted = running.replicas(&host.name).contains(&container.replica);
    let is_of_this_round = is_booted || container.claim > running.round_began;
    let goes_on = is_booted && running.cause().is_none();
    let holds = !is_of_this_round || (by.deployment.id() == running.id() && !goes_on);
    require(holds, "what others boot is left alone", || removal.text())
}

/// What is live is never removed, until the next one is live for good.
pub(crate) fn what_is_live_stays(service: &Service, removal: &Removal<'_>) -> Result<(), Violation> {
    let is_live = service.live().is_some_and(|live| *live.booted_by() == removal.container.deployment);
    require(!is_live || removal.retires(service), "what is live stays", || removal.text())
}

/// What is warm is left alone until its time has come, and somebody stops it for this reason, or until another deployment
/// retires what it has replaced.
pub(crate) fn what_is_warm_stays_so(service: &Service, removal: &Removal<'_>) -> Result<(), Violation> {
    let is_warm = warm(service).any(|kept| *kept.booted_by() == removal.container.deployment);
    require(!is_warm || removal.retires(service), "what is warm stays so", || removal.text())
}

/// Nothing is started on a host after its discard, but by a worker that the journal knows to be gone.
pub(crate) fn what_is_discarded_stays_so(
    service: &Service,
    assignment: &Assignment,
) -> Result<(), Violation> {
    let Some(current) = service.running().filter(|running| running.id() == assignment.deployment.id()) else {
        return Ok(());
    };
    let (boot, discard) = (&assignment.task, assignment.task.beside(Stage::Discard));
    let in_force = current.state(boot).in_force == assignment.claim && current.state(boot).is_open();
    let holds = !(in_force && current.state(&discard).is_finished());
    require(holds, "what is discarded stays so", || format!("{boot} goes on after {discard}"))
}

/// What a round boots was made in it: somebody who is asleep may be about to remove what an earlier one has left.
pub(crate) fn what_a_round_boots_is_made_in_it(
    running: &Deployment,
    replicas: &[Replica],
    host: &Host,
) -> Result<(), Violation> {
    let is_older = |container: &&Container| {
        container.claim < running.round_began && replicas.contains(&container.replica)
    };
    let older = host.containers.iter().find(is_older);
    require(older.is_none(), "what a round boots is made in it", || {
        format!("{:?} on {} is older", older.map(|older| &older.replica.name), host.name)
    })
}
