//! What a deployment stands on, looked at without a deployment: each finding with what to do about it.

mod control_plane;
mod finding;
mod host;
mod names;

use cutover_core::{JournalId, Target};
use cutover_fleet::Fleet;
use cutover_host::Hosts;
use futures_util::future::join_all;

use crate::session::Session;
use host::HostCheck;

pub(crate) use finding::{Finding, Grade, Part};

/// What is found of the control plane.
pub(crate) async fn control_plane(session: &Session) -> Vec<Finding> {
    let mut found = control_plane::programs(session).await;
    found.push(control_plane::store(session).await);
    found
}

/// What is found of a destination: its settings, its names, its hosts.
///
/// # Errors
/// An environment that says nothing sensible of SSH.
pub(crate) async fn destination(
    target: &Target,
    journal: Option<&JournalId>,
) -> Result<Vec<Finding>, cutover_host::Error> {
    let warning = |warning: cutover_core::Warning| {
        let finding = Part::DeployFile.advice(warning.to_string(), "docs/deploy-file.md");
        finding.of(target.key.destination.as_str())
    };
    let mut found: Vec<Finding> = target.settings.warnings().into_iter().map(warning).collect();
    found.extend(names::check(target).await);
    let fleet = Fleet::new(Hosts::from_environment()?);
    let checks: Vec<HostCheck<'_>> =
        target.hosts.iter().map(|spec| HostCheck { machine: fleet.machine(spec), target, journal }).collect();
    found.extend(join_all(checks.iter().map(HostCheck::run)).await.into_iter().flatten());
    Ok(found)
}
