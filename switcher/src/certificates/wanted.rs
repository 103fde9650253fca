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
            names: settings.proxy.all_hosts(),
            acme: acme.clone(),
            hosts: hosts.clone(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use cutover_core::{
        CertificateSource, Claim, Decision, Digest, Entry, Event, Evidence, Fact, Output, Plan, Proof, Task,
        Timestamp, Tls,
    };

    use super::*;
    use crate::fixture;

    /// A plan of that number, with a certificate that is ordered for a name, or none.
    fn plan(n: u32, name: Option<&str>) -> Plan {
        let mut plan = fixture::plan();
        let (directory, email) = ("https://ca.example/dir".to_owned(), None);
        let certificate = CertificateSource::Acme(Acme { directory, email, proof: Proof::Http });
        let routing = &mut plan.release.settings.proxy;
        routing.hosts = name.iter().map(ToString::to_string).collect();
        routing.ports.clear();
        routing.tls = name.map(|_| Tls { certificate, redirect: true, hsts: cutover_core::Span::default() });
        plan.deployment = format!("{n:0>26}").parse().unwrap();
        plan.stages = Plan::stages_for(&plan.release, None, &cutover_core::SidecarImages::new());
        plan
    }

    fn add(service: &mut Service, event: Event) {
        let sequence = service.sequence + 1;
        service.apply(&Entry { sequence, at: Timestamp(sequence * 1000), event }).unwrap();
    }

    fn decide(service: &mut Service, decision: Decision) {
        add(service, Event::Decision(decision));
    }

    /// Every task of a stage is done.
    fn finish(service: &mut Service, stage: Stage) {
        let Deployment { plan, .. } = service.current.clone().unwrap();
        let (decision, tasks): (u64, Vec<Task>) = (service.last_decision, plan.tasks_of(stage).collect());
        for task in tasks {
            let deployment = plan.deployment.clone();
            let claim = Claim { attempt: 1, worker: "w".into(), decision, hint: 1 };
            add(
                service,
                Event::Fact {
                    deployment: deployment.clone(),
                    task: task.clone(),
                    fact: Fact::Claimed(claim),
                },
            );
            let (claim, output) = (service.sequence, output(stage));
            add(service, Event::Fact { deployment, task, fact: Fact::Finished { claim, output } });
        }
    }

    fn output(stage: Stage) -> Output {
        match stage {
            Stage::Build => Output::Built {
                image: Digest::of(b"image"),
                bytes: 1,
                commit: None,
                provenance: None,
                sidecars: cutover_core::SidecarImages::new(),
            },
            Stage::Ship => Output::Shipped { sent: 1 },
            Stage::Boot => Output::Booted { replicas: Vec::new() },
            Stage::Probe => Output::Probed { asked: 1 },
            Stage::Switch => Output::Switched { previous: None },
            Stage::Canary => Output::Canaried { seen: Evidence::default(), verdict: None },
            Stage::Soak => Output::Soaked(Evidence::default()),
            Stage::Retire => Output::Retired { stopped: 0 },
            Stage::Restore => Output::Restored { serving: None },
            other => panic!("{other} is not in the plan"),
        }
    }

    fn names(service: &Service) -> Option<Vec<String>> {
        Wanted::of(service).map(|wanted| wanted.names)
    }

    fn deploy(service: &mut Service, plan: Plan) {
        decide(service, Decision::Accepted(Box::new(plan)));
        for stage in [Stage::Build, Stage::Ship, Stage::Boot, Stage::Probe] {
            finish(service, stage);
        }
    }

    #[test]
    fn what_has_the_traffic_wants_its_certificate_and_what_goes_back_wants_none() {
        let mut service = Service::default();
        assert_eq!(names(&service), None);
        deploy(&mut service, plan(1, Some("a.example")));
        assert_eq!(names(&service), None);
        finish(&mut service, Stage::Switch);
        let wanted = Wanted::of(&service).unwrap();
        assert_eq!(wanted.names, ["a.example"]);
        assert_eq!(
            (wanted.hosts, wanted.acme.directory.as_str()),
            (fixture::plan().hosts, "https://ca.example/dir")
        );
        for stage in [Stage::Soak, Stage::Retire] {
            finish(&mut service, stage);
        }
        assert_eq!(Wanted::of(&service).unwrap().hosts, fixture::plan().hosts);

        deploy(&mut service, plan(2, Some("b.example")));
        assert_eq!(names(&service).unwrap(), ["a.example"]);
        finish(&mut service, Stage::Switch);
        assert_eq!(names(&service).unwrap(), ["b.example"]);
        let deployment = service.current.as_ref().unwrap().id().clone();
        decide(&mut service, Decision::Aborted { deployment, by: "ann".into() });
        assert_eq!(names(&service).unwrap(), ["a.example"]);
    }

    #[test]
    fn a_certificate_is_for_the_hosts_of_all_ports() {
        let mut plan = plan(1, Some("a.example"));
        plan.release.settings.proxy.ports = fixture::plan().release.settings.proxy.ports;
        let mut service = Service::default();
        deploy(&mut service, plan);
        finish(&mut service, Stage::Switch);
        assert_eq!(names(&service).unwrap(), ["a.example", "shop.example.com", "grpc.example.com"]);
    }

    #[test]
    fn without_tls_or_with_ones_own_certificate_nothing_is_wanted() {
        for plan in [plan(1, None), Plan { stages: plan(1, None).stages, ..fixture::plan() }] {
            let mut service = Service::default();
            deploy(&mut service, plan);
            finish(&mut service, Stage::Switch);
            assert_eq!(names(&service), None);
        }
    }
}
