//! The cable between this machine and a host: what it carried, and what it may carry.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::Host;

/// The first address of the networks of hosts; each has four, and its cable their number.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// The machine's end of a host's cable.
#[derive(Debug)]
pub struct Link {
    device: String,
}

impl Link {
    /// The cable of that host.
    ///
    /// # Errors
    /// An address that is none.
    pub fn of(host: &Host) -> anyhow::Result<Self> {
        let address: Ipv4Addr = host.address.parse()?;
        Ok(Self { device: format!("cutover{}", (u32::from(address) - u32::from(FIRST)) / 4) })
    }

    /// All bytes that went over it, both ways, with the headers of Ethernet, IP and TCP.
    ///
    /// # Errors
    /// A host that is down.
    pub fn carried(&self) -> anyhow::Result<u64> {
        let count = |what: &str| -> anyhow::Result<u64> {
            let path = format!("/sys/class/net/{}/statistics/{what}_bytes", self.device);
            Ok(fs::read_to_string(&path).with_context(|| path.clone())?.trim().parse()?)
        };
        Ok(count("tx")? + count("rx")?)
    }

    /// Whether it carries anything.
    ///
    /// # Errors
    /// What ip says.
    pub fn set_up(&self, up: bool) -> anyhow::Result<()> {
        run(Command::new("ip").args(["link", "set", &self.device, if up { "up" } else { "down" }]))
    }

    /// Makes it carry no more than that towards the host, in tc's words.
    ///
    /// # Errors
    /// What tc says.
    pub fn limit(&self, rate: &str) -> anyhow::Result<()> {
        let mut shape = Command::new("tc");
        shape.args(["qdisc", "replace", "dev", &self.device, "root", "tbf", "rate", rate]);
        shape.args(["burst", "256kb", "latency", "50ms"]);
        run(&mut shape)
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} could not be run"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
