//! The section `container`: how the container of a replica is made.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::error::{Problem, Problems};
use super::option::{
    capability, container_path, host_address, host_name, label, name_server, network, signal, sysctl, tmpfs,
    volume,
};
use super::section::{Section, scalar};
use super::text::{filled, literal, user_group};
use super::units::flag;
use crate::{Container, Logging, Volume};

/// Reads the section.
pub(super) fn container(mut section: Section<'_>, problems: &mut Problems) -> Container {
    let container = Container {
        user: section.value("user", user_group, problems),
        read_only: section.value("read_only", flag, problems).unwrap_or_default(),
        tmpfs: section.scalars("tmpfs", tmpfs, problems).unwrap_or_default().into_iter().collect(),
        cap_add: section.scalars("cap_add", capability, problems).unwrap_or_default(),
        gains_privileges: section.value("no_new_privileges", flag, problems) == Some(false),
        volumes: volumes(&mut section, problems),
        assets: section.value("assets", container_path, problems),
        labels: named("labels", label, literal, &mut section, problems),
        logging: section
            .section("logging", problems)
            .map(|section| logging(section, problems))
            .unwrap_or_default(),
        networks: section.scalars("networks", network, problems).unwrap_or_default(),
        extra_hosts: named("extra_hosts", host_name, host_address, &mut section, problems),
        dns: section.scalars("dns", name_server, problems).unwrap_or_default(),
        stop_signal: section.value("stop_signal", signal, problems),
        without_init: section.value("init", flag, problems) == Some(false),
        sysctls: named("sysctls", sysctl, literal, &mut section, problems),
        working_dir: section.value("working_dir", container_path, problems),
        hostname: section.value("hostname", host_name, problems),
        non_root: false,
    };
    section.done(problems);
    container
}

/// No two volumes at the same place.
fn volumes(container: &mut Section<'_>, problems: &mut Problems) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for (path, item) in container.list("volumes", problems).unwrap_or_default() {
        let Some(volume) = scalar(&path, item, volume, problems) else { continue };
        if volumes.iter().any(|other| other.target == volume.target) {
            let message = format!("another volume is at {} already", volume.target);
            problems.add(Problem::new(&path, item.place, message));
        }
        volumes.push(volume);
    }
    volumes
}

fn logging(mut section: Section<'_>, problems: &mut Problems) -> Logging {
    let logging = Logging {
        driver: section.value("driver", filled, problems),
        options: named("options", filled, literal, &mut section, problems),
    };
    section.done(problems);
    logging
}

/// The keys and values of the mapping at `key`, whose keys are the user's own.
fn named<E: Display, F: Display>(
    key: &'static str,
    name: impl Fn(&str) -> Result<String, E>,
    value: impl Fn(&str) -> Result<String, F>,
    section: &mut Section<'_>,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let Some(part) = section.section(key, problems) else { return BTreeMap::new() };
    let mut all = BTreeMap::new();
    for (entry, _) in part.texts(problems) {
        let path = part.path_of(&entry.key);
        let value = scalar(&path, &entry.node, &value, problems);
        match name(&entry.key) {
            Ok(name) => all.extend(value.map(|value| (name, value))),
            Err(error) => problems.add(Problem::new(&path, entry.place, error.to_string())),
        }
    }
    all
}
