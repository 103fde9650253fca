//! How a replica's container is made.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, NetworkingConfig,
};
use cutover_core::{Epoch, Plan, Settings};
use cutover_fleet::{ImageName, Labels, Member, host_config, stop_seconds};

use crate::assets::volume_name;
use crate::models;

/// What the container of a replica is made of.
#[derive(Clone, Copy, Debug)]
pub struct ContainerSpec<'a> {
    /// The deployment.
    pub plan: &'a Plan,
    /// The replica.
    pub member: &'a Member<'a>,
    /// The settings of its role.
    pub settings: &'a Settings,
    /// The claim under which they are made.
    pub epoch: &'a Epoch,
    /// The image on the host.
    pub image: &'a ImageName,
    /// The network, by id or name.
    pub network: &'a str,
}

impl ContainerSpec<'_> {
    /// What Docker is asked to create, with this address and environment. It keeps the address however
    /// often it is started: Docker would give it another one after the host has restarted.
    pub fn body(&self, address: Ipv4Addr, env: Vec<String>) -> ContainerCreateBody {
        let settings = self.settings;
        let container = &settings.container;
        // Nobody asks the other roles for them.
        let is_web = self.member.role.is_none();
        let assets = is_web.then(|| volume_name(&self.plan.key, self.plan.booted_by()));
        let models = models::mounts(&self.plan.key, settings.own_models());
        let mut labels: HashMap<_, _> = container.labels.clone().into_iter().collect();
        labels.extend(self.labels().to_map());
        ContainerCreateBody {
            image: Some(self.image.to_string()),
            cmd: Some(settings.command.clone()).filter(|command| !command.is_empty()),
            env: Some(env),
            user: container.user.clone(),
            working_dir: container.working_dir.clone(),
            hostname: container.hostname.clone(),
            stop_signal: container.stop_signal.clone(),
            stop_timeout: Some(stop_seconds(settings.timeouts.stop.0).into()),
            labels: Some(labels),
            // The image's own asks what serves, and would never find it in a role that doesn't.
            healthcheck: self.member.role.map(|_| no_health_check()),
            host_config: Some(host_config(settings, self.network, assets.as_deref(), models)),
            networking_config: Some(self.endpoint(address)),
            ..ContainerCreateBody::default()
        }
    }

    fn endpoint(&self, address: Ipv4Addr) -> NetworkingConfig {
        let ipam =
            EndpointIpamConfig { ipv4_address: Some(address.to_string()), ..EndpointIpamConfig::default() };
        let endpoint = EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() };
        NetworkingConfig { endpoints_config: Some([(self.network.to_owned(), endpoint)].into()) }
    }

    fn labels(&self) -> Labels {
        Labels {
            key: self.plan.key.clone(),
            release: self.plan.release.id(),
            role: self.member.role_name().to_owned(),
            replica: self.member.number,
            deployment: self.plan.booted_by().clone(),
            epoch: self.epoch.clone(),
        }
    }
}

/// As `docker run --no-healthcheck`.
fn no_health_check() -> HealthConfig {
    HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use cutover_core::{Container, ReplicaSet, Resources, Role, Span};

    use super::*;
    use crate::fixture::{deployment, epoch, key, plan, settings};

    /// The last of the replicas of the deployment: the second that gets traffic, or one of a role.
    fn body(settings: Settings) -> ContainerCreateBody {
        let plan = plan(deployment("k3x9pq"), settings);
        let image = ImageName::new(&plan.key, plan.image.as_ref().unwrap());
        let members: Vec<_> =
            Member::web(&plan).into_iter().chain(Member::jobs(&plan, &plan.hosts[0].name)).collect();
        let member = members.last().unwrap();
        let (settings, epoch) = (member.settings(&plan), &epoch("j"));
        let spec =
            ContainerSpec { plan: &plan, member, settings: &settings, epoch, image: &image, network: "n" };
        spec.body(Ipv4Addr::new(172, 18, 0, 2), vec!["A=1".to_owned()])
    }

    fn jobs(name: &str) -> Role {
        Role {
            name: name.parse().unwrap(),
            command: vec!["work".to_owned()],
            replicas: 1,
            hosts: Vec::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            without: BTreeSet::new(),
            resources: Resources::default(),
            stop: None,
            overlap: true,
            steady: Span::seconds(5),
        }
    }

    #[test]
    fn its_address_is_its_own() {
        let endpoints = body(settings()).networking_config.unwrap().endpoints_config.unwrap();
        let address = endpoints["n"].ipam_config.as_ref().unwrap().ipv4_address.as_deref();
        assert_eq!((endpoints.len(), address), (1, Some("172.18.0.2")));
    }

    #[test]
    fn what_is_its_own_reaches_docker() {
        let usual = body(settings());
        assert_eq!((usual.user, usual.cmd, usual.stop_signal), (None, None, None));
        let mut settings = settings();
        settings.container = Container {
            user: Some("65532:65532".to_owned()),
            stop_signal: Some("SIGQUIT".to_owned()),
            working_dir: Some("/app".to_owned()),
            hostname: Some("hello".to_owned()),
            ..Container::default()
        };
        settings.command = vec!["serve".to_owned(), "--port $(id)".to_owned()];
        settings.timeouts.stop = Span::millis(1_500);
        let body = body(settings);
        assert_eq!(body.user.as_deref(), Some("65532:65532"));
        assert_eq!(body.cmd.unwrap(), ["serve", "--port $(id)"]);
        assert_eq!((body.stop_signal.as_deref(), body.stop_timeout), (Some("SIGQUIT"), Some(2)));
        assert_eq!((body.working_dir.as_deref(), body.hostname.as_deref()), (Some("/app"), Some("hello")));
    }

    #[test]
    fn nobodys_label_is_in_the_place_of_one_of_its_own() {
        let mut settings = settings();
        let labels = [("team", "web"), ("cutover.role", "jobs")];
        settings.container.labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let labels = body(settings).labels.unwrap();
        assert_eq!(labels["team"], "web");
        assert_eq!(Labels::from_map(&labels).unwrap().role, "web");
    }

    #[test]
    fn its_labels_say_what_it_is() {
        let labels = Labels::from_map(&body(settings()).labels.unwrap()).unwrap();
        assert_eq!((labels.key, labels.replica, labels.role.as_str()), (key(), 2, "web"));
        assert_eq!(labels.deployment, deployment("k3x9pq"));
        assert_eq!(labels.epoch, epoch("j"));
    }

    #[test]
    fn a_replica_of_a_role_has_what_the_role_says_over_the_service() {
        let mut settings = settings();
        settings.command = vec!["serve".to_owned()];
        let resources = Resources { memory: Some(1 << 30), ..Resources::default() };
        let stop = Some(Span::seconds(300));
        settings.roles = vec![Role { replicas: 3, resources, stop, ..jobs("jobs") }];
        let body = body(settings);
        assert_eq!(body.cmd.unwrap(), ["work"]);
        assert_eq!((body.stop_timeout, body.host_config.unwrap().memory), (Some(300), Some(1 << 30)));
        assert_eq!(body.healthcheck.unwrap().test.unwrap(), ["NONE"]);
        let labels = Labels::from_map(&body.labels.unwrap()).unwrap();
        assert_eq!((labels.role.as_str(), labels.replica), ("jobs", 3));
    }

    #[test]
    fn a_name_tells_service_destination_deployment_role_and_number() {
        let mut plan = plan(deployment("k3x9pq"), settings());
        let host = plan.hosts[0].name.clone();
        let role = |name: &str, overlap, hosts: &[&str]| Role {
            overlap,
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            ..jobs(name)
        };
        plan.release.settings.roles = vec![
            role("jobs", true, &[host.as_str()]),
            role("late", false, &[]),
            role("other", true, &["elsewhere"]),
        ];
        let names =
            |members: Vec<Member<'_>>| members.into_iter().map(|member| member.name).collect::<Vec<_>>();
        assert_eq!(names(Member::web(&plan)), ["hello-production-k3x9pq-1", "hello-production-k3x9pq-2"]);
        let early = "hello-production-k3x9pq-jobs-1";
        assert_eq!(names(Member::jobs(&plan, &host)), [early, "hello-production-k3x9pq-late-1"]);
        assert_eq!(names(Member::early_jobs(&plan, &host)), [early]);
        // Of one that goes back to warm replicas, they carry the id of the deployment that had booted those.
        plan.warm = Some(ReplicaSet { booted_by: deployment("aaaaaa"), hosts: BTreeMap::new() });
        assert_eq!(names(Member::jobs(&plan, &host))[0], "hello-production-aaaaaa-jobs-1");
        assert!(Member::early_jobs(&plan, &host).is_empty());
    }
}
