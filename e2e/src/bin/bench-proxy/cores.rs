//! Who runs where.

use anyhow::Context;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// A core of this machine.
#[derive(Clone, Copy)]
pub(crate) struct Core(usize);

/// The proxy's own.
pub(crate) const PROXY: Core = Core(0);
/// That of the application, of the load tools and of this program.
pub(crate) const LOAD: Core = Core(1);

impl Core {
    /// Moves this program there, and with it all that it starts from now on unless it is told otherwise.
    pub(crate) fn take(self) -> anyhow::Result<()> {
        let mut set = CpuSet::new();
        set.set(self.0)?;
        sched_setaffinity(Pid::from_raw(0), &set)
            .with_context(|| format!("running on core {}: two cores are needed, 0 and 1", self.0))
    }

    /// As `taskset` takes it.
    pub(crate) fn number(self) -> String {
        self.0.to_string()
    }
}
