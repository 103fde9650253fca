//! The section `resources`: limits of one replica, and what it gets of the host.

use std::collections::BTreeMap;

use super::error::{Problem, Problems};
use super::node::{Node, Value};
use super::section::{Section, scalar};
use super::text::filled;
use super::units::{cpus, shm_size, size, ulimit, whole};
use crate::{Gpus, Resources, Ulimit};

/// The limits that a container may have: those of getrlimit(2), in Docker's spelling.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads the section.
pub(super) fn resources(mut section: Section<'_>, problems: &mut Problems) -> Resources {
    let resources = Resources {
        memory: section.value("memory", size, problems),
        milli_cpus: section.value("cpus", cpus, problems),
        pids: section.value("pids", whole(1..=4_194_304), problems),
        cpu_shares: section.value("cpu_shares", whole(2..=262_144), problems),
        gpus: section.node("gpus").and_then(|node| gpus(&section.path_of("gpus"), node, problems)),
        shm_size: section.value("shm_size", shm_size, problems),
        ulimits: section
            .section("ulimits", problems)
            .map(|section| ulimits(&section, problems))
            .unwrap_or_default(),
    };
    section.done(problems);
    resources
}

/// `all`, a number, or a list of devices.
fn gpus(path: &str, node: &Node, problems: &mut Problems) -> Option<Gpus> {
    let Value::List(items) = &node.value else {
        return scalar(path, node, some_gpus, problems);
    };
    if items.is_empty() {
        problems.add(Problem::new(path, node.place, "no device: name some, or leave the key out"));
    }
    let device = |(index, item)| scalar(&format!("{path}[{index}]"), item, filled, problems);
    Some(Gpus::Devices(items.iter().enumerate().filter_map(device).collect()))
}

fn some_gpus(text: &str) -> Result<Gpus, String> {
    if text == "all" {
        return Ok(Gpus::All);
    }
    let count = whole(1..=1024)(text);
    count.map(Gpus::Count).map_err(|_| {
        format!("'{text}' is neither all nor a number of GPUs: write one, or the devices in a list, as in [\"0\", \"1\"]")
    })
}

/// Each a number for both limits, or `{soft, hard}`.
fn ulimits(section: &Section<'_>, problems: &mut Problems) -> BTreeMap<String, Ulimit> {
    let mut all = BTreeMap::new();
    for entry in section.entries {
        let path = section.path_of(&entry.key);
        if !ULIMITS.contains(&entry.key.as_str()) {
            let unknown =
                Problem::new(&path, entry.place, format!("'{}' is not a limit of Linux", entry.key));
            problems.add(unknown.hint(format!("known here: {}", ULIMITS.join(", "))));
        }
        let limit = if matches!(entry.node.value, Value::Map(_)) {
            both(path.clone(), &entry.node, problems)
        } else {
            scalar(&path, &entry.node, ulimit, problems).map(|both| Ulimit { soft: both, hard: both })
        };
        let Some(limit) = limit else { continue };
        if limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard) {
            let message = "the soft limit is above the hard one";
            problems.add(Problem::new(&path, entry.node.place, message));
        }
        all.insert(entry.key.clone(), limit);
    }
    all
}

fn both(path: String, node: &Node, problems: &mut Problems) -> Option<Ulimit> {
    let mut section = Section::of(path, node, problems)?;
    let soft = section.required("soft", ulimit, problems);
    let hard = section.required("hard", ulimit, problems);
    section.done(problems);
    Some(Ulimit { soft: soft?, hard: hard? })
}
