//! What a hook finds in its environment.

use std::time::Duration;

use cutover_core::{Hook, HostSpec, Outcome, Plan, Reference, ServiceKey, Target};
use tokio::process::Command;

use crate::{clock, person};

/// What is the same for all hooks of a command. The rest is that of whoever deploys, without the variables that hold secrets of the
/// deploy file.
#[derive(Debug)]
pub(super) struct Environment {
    key: ServiceKey,
    command: &'static str,
    performer: String,
    secrets: Vec<String>,
}

/// What a hook is about.
#[derive(Clone, Debug)]
pub(super) struct About<'a> {
    /// The release's name, where it is known already.
    pub(super) version: Option<&'a str>,
    pub(super) deployment: Option<&'a str>,
    pub(super) hosts: &'a [HostSpec],
    /// How the deployment ended, and how long the command has taken until then.
    pub(super) ended: Option<(Outcome, Duration)>,
}

impl<'a> About<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        Self {
            version: Some(&plan.release.version),
            deployment: Some(plan.deployment.as_str()),
            hosts: &plan.hosts,
            ended: None,
        }
    }
}

impl Environment {
    pub(super) fn new(target: &Target, command: &'static str) -> Self {
        let variable = |reference: &Reference| match reference {
            Reference::Environment(name) => Some(name.clone()),
            _ => None,
        };
        let needed = target.needed_secrets();
        let of_accessories = target.accessories.iter().flat_map(|accessory| {
            accessory.secrets.values().chain(accessory.registry.iter().map(|registry| &registry.password))
        });
        let references = needed.iter().map(|needed| needed.reference).chain(of_accessories);
        let secrets = references.filter_map(variable).collect();
        Self { key: target.key.clone(), command, performer: person::by(), secrets }
    }

    /// Sets it.
    pub(super) fn set(&self, command: &mut Command, hook: Hook, about: &About<'_>) {
        for name in &self.secrets {
            command.env_remove(name);
        }
        let text = |text: &str| Some(text.to_owned());
        let (service, destination) = (self.key.service.as_str(), self.key.destination.as_str());
        let hosts: Vec<&str> = about.hosts.iter().map(|host| host.name.as_str()).collect();
        let hosts = Some(hosts.join(","));
        let runtime = about.ended.map(|(_, took)| took.as_secs().to_string());
        let values = [
            ("CUTOVER_HOOK", text(hook.as_str())),
            ("CUTOVER_COMMAND", text(self.command)),
            ("CUTOVER_SERVICE", text(service)),
            ("CUTOVER_DESTINATION", text(destination)),
            ("CUTOVER_VERSION", about.version.and_then(text)),
            ("CUTOVER_DEPLOYMENT", about.deployment.and_then(text)),
            ("CUTOVER_PERFORMER", text(&self.performer)),
            ("CUTOVER_HOSTS", hosts.clone()),
            ("CUTOVER_STATUS", about.ended.and_then(|(outcome, _)| text(status(outcome)))),
            ("CUTOVER_RUNTIME", runtime.clone()),
            // As Kamal's documentation names them ("Hooks").
            ("KAMAL_RECORDED_AT", Some(clock::in_utc(clock::now()))),
            ("KAMAL_PERFORMER", text(&self.performer)),
            ("KAMAL_SERVICE", text(service)),
            ("KAMAL_VERSION", about.version.and_then(text)),
            ("KAMAL_SERVICE_VERSION", about.version.map(|version| format!("{service}@{version}"))),
            ("KAMAL_HOSTS", hosts),
            ("KAMAL_COMMAND", text(self.command)),
            ("KAMAL_SUBCOMMAND", None),
            ("KAMAL_DESTINATION", text(destination)),
            ("KAMAL_ROLE", None),
            ("KAMAL_RUNTIME", runtime),
        ];
        for (name, value) in values {
            match value {
                Some(value) => command.env(name, value),
                // One of another run would be wrong here.
                None => command.env_remove(name),
            };
        }
    }
}

const fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Live => "live",
        Outcome::TakenBack => "taken_back",
        Outcome::Failed => "failed",
        Outcome::Aborted => "aborted",
        Outcome::Degraded { .. } => "degraded",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsStr;

    use cutover_core::DeployFile;

    use super::*;

    #[test]
    fn a_hook_is_told_what_it_is_about_and_no_secret() {
        let text = "service: shop
env: {secret: {A: env://DATABASE_URL, B: file:///secret}}
accessories: {db: {image: postgres, hosts: [web-1], env: {secret: {C: env://DB_PASSWORD}}}}
destinations: {staging: {hosts: [web-1, web-2]}}";
        let target = DeployFile::parse(text, "cutover.yaml").unwrap().destination(None).unwrap();
        let environment = Environment::new(&target, "deploy");
        let hosts = &target.hosts;
        let about = About {
            version: Some("v2"),
            deployment: None,
            hosts,
            ended: Some((Outcome::Degraded { live: true }, Duration::from_millis(61_500))),
        };
        let mut command = Command::new("true");
        environment.set(&mut command, Hook::OnFailure, &about);
        let set: BTreeMap<&OsStr, Option<&OsStr>> = command.as_std().get_envs().collect();
        let of = |name: &str| set.get(OsStr::new(name)).copied().flatten().and_then(OsStr::to_str);
        // Taken away, whatever whoever deploys has there.
        for name in ["DATABASE_URL", "DB_PASSWORD", "CUTOVER_DEPLOYMENT", "KAMAL_ROLE"] {
            assert_eq!(set.get(OsStr::new(name)), Some(&None), "{name}");
        }
        for (name, value) in [
            ("HOOK", "on_failure"),
            ("COMMAND", "deploy"),
            ("SERVICE", "shop"),
            ("DESTINATION", "staging"),
            ("VERSION", "v2"),
            ("HOSTS", "web-1,web-2"),
            ("STATUS", "degraded"),
            ("RUNTIME", "61"),
        ] {
            assert_eq!(of(&format!("CUTOVER_{name}")), Some(value), "{name}");
        }
        assert_eq!(of("KAMAL_SERVICE_VERSION"), Some("shop@v2"));
        assert_eq!((of("KAMAL_HOSTS"), of("KAMAL_RUNTIME")), (Some("web-1,web-2"), Some("61")));
        assert!(of("KAMAL_RECORDED_AT").is_some_and(|at| at.len() == 20 && at.ends_with('Z')));
    }
}
