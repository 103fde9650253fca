//! Limits of one replica, and what it gets of the host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Limits of one replica. Nothing: no limit, or Docker's default.
///
/// What was not there from the beginning isn't written while nothing is said, so that the release's id is the one that it
/// had before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Thousandths of a CPU.
    pub milli_cpus: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Its share of the CPUs where they are wanted by more than there are; others have 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u32>,
    /// GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
    /// Bytes of `/dev/shm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// Limits of the kernel for its processes, by their name without `RLIMIT_` (getrlimit(2)), in small letters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
}

/// The GPUs that a replica gets. Docker hands out the same ones to as many containers as ask for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gpus {
    /// All of the host.
    All,
    /// So many, whichever.
    Count(u32),
    /// These, by index or UUID.
    Devices(Vec<String>),
}

/// A limit of the kernel; -1: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What is in force.
    pub soft: i64,
    /// What a process may raise it to.
    pub hard: i64,
}

impl Resources {
    /// Whether a shipper that knows protocol 3 of the journal would leave something out.
    pub(crate) fn needs_protocol_4(&self) -> bool {
        let Self { memory: _, milli_cpus: _, pids: _, cpu_shares, gpus, shm_size, ulimits } = self;
        cpu_shares.is_some() || gpus.is_some() || shm_size.is_some() || !ulimits.is_empty()
    }

    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, and the others where these say nothing; of the kernel's limits, each by itself.
    pub(crate) fn over(self, under: Self) -> Self {
        let mut ulimits = under.ulimits;
        ulimits.extend(self.ulimits);
        Self {
            memory: self.memory.or(under.memory),
            milli_cpus: self.milli_cpus.or(under.milli_cpus),
            pids: self.pids.or(under.pids),
            cpu_shares: self.cpu_shares.or(under.cpu_shares),
            gpus: self.gpus.or(under.gpus),
            shm_size: self.shm_size.or(under.shm_size),
            ulimits,
        }
    }
}
