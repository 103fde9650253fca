//! Do the new replicas fit beside what runs on a host already?

use cutover_core::{Gpus, HostName, Resources};
use cutover_fleet::Room;

use crate::{Error, Result};

/// Whether there is anything to ask a host for.
pub(crate) fn asks(wanted: &[Resources]) -> bool {
    wanted.iter().any(|resources| resources.memory.is_some() || resources.gpus.is_some())
}

/// Refuses replicas, each with its resources, whose limits don't fit into what the host has left. A limit is what a replica may
/// come to need. Those without one are not counted: nobody has said what they need.
///
/// # Errors
/// [`Error::NoMemory`] and [`Error::NoGpus`].
pub(crate) fn check(host: &HostName, room: Room, wanted: &[Resources]) -> Result<()> {
    let needed: u64 = wanted.iter().filter_map(|resources| resources.memory).fold(0, u64::saturating_add);
    if let Some(free) = room.memory.filter(|free| needed > *free) {
        let replicas = wanted.iter().filter(|resources| resources.memory.is_some()).count();
        return Err(Error::NoMemory { host: host.clone(), replicas, needed, free });
    }
    let count = |gpus: &Gpus| match gpus {
        Gpus::All => 0,
        Gpus::Count(count) => *count,
        Gpus::Devices(devices) => u32::try_from(devices.len()).unwrap_or(u32::MAX),
    };
    let needed =
        wanted.iter().filter_map(|resources| resources.gpus.as_ref()).map(count).max().unwrap_or_default();
    match room.gpus.filter(|there| needed > *there) {
        Some(there) => Err(Error::NoGpus { host: host.clone(), needed, there }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn memory(megabytes: u64) -> Resources {
        Resources { memory: Some(megabytes << 20), ..Resources::default() }
    }

    fn told(room: Room, wanted: &[Resources]) -> Option<String> {
        check(&"web1".parse().unwrap(), room, wanted).err().map(|error| error.to_string())
    }

    #[test]
    fn limits_must_fit_into_what_is_left() {
        let room = Room { memory: Some(1 << 30), gpus: None };
        assert_eq!(told(room, &[memory(512), memory(512)]), None);
        assert_eq!(
            told(room, &[memory(512), memory(513), Resources::default()]).unwrap(),
            "web1 has 1.0 GB of memory left, and the 2 new replicas may need 1.0 GB"
        );
        assert_eq!(
            told(Room { memory: None, gpus: None }, &[memory(1 << 20)]),
            None,
            "a host that doesn't say"
        );
        assert!(!asks(&[Resources::default()]) && asks(&[memory(6)]));
    }

    #[test]
    fn each_replica_may_have_all_gpus_as_docker_reserves_none() {
        let room = Room { memory: None, gpus: Some(2) };
        let gpus = |gpus| Resources { gpus: Some(gpus), ..Resources::default() };
        assert_eq!(told(room, &[gpus(Gpus::Count(2)), gpus(Gpus::Count(2)), gpus(Gpus::All)]), None);
        assert_eq!(told(room, &[gpus(Gpus::Count(3))]).unwrap(), "web1 has 2 GPUs, and a replica needs 3");
        assert_eq!(told(Room { gpus: None, ..room }, &[gpus(Gpus::Count(3))]), None, "Docker says it better");
    }
}
