//! The certificate that a service wants, by what the journal says of it.

use cutover_core::{Acme, Deployment, DeploymentId, HostSpec, KeptRelease, Release, Service, Stage};

/// The certificate that a service wants, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The deployment that is served.
    pub(crate) deployment: DeploymentId,
    /// The host names that it is for.
    pub(crate) names: Vec<String>,
    /// How it is ordered.
    pub(crate) acme: Acme,
    /// Whose proxies show it.
    pub(crate) hosts: Vec<HostSpec>,
}

impl Wanted {
    /// What the service wants that is served: the deployment that runs, once it has the traffic on all hosts and as long as it
    /// doesn't go back, or what is live. None where nothing is to be ordered.
    pub(crate) fn of(service: &Service) -> Option<Self> {
        let has_traffic = |running: &&Deployment| {
            let mut switches = running.plan.tasks_of(Stage::Switch);
            running.cause().is_none() && switches.all(|task| running.state(&task).is_finished())
        };
        let (deployment, release, hosts) = match service.running().filter(has_traffic) {
            Some(Deployment { plan, .. }) => (&plan.deployment, &plan.release, &plan.hosts),
            None => {
                let KeptRelease { deployment, release, hosts, .. } = service.live()?;
                (deployment, release, hosts)
            }
        };
        let Release { settings, .. } = release;
        let acme = settings.proxy.tls.as_ref()?.acme()?;
        Some(Self {
            deployment: deployment.clone(),
            names: settings.proxy.hosts.clone(),
            acme: acme.clone(),
            hosts: hosts.clone(),
        })
    }
}
