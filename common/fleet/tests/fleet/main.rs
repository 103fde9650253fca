//! A proxy's control socket and an application's port, on this machine as a host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod proxy;
mod question;

use cutover_fleet::Machine;
use cutover_host::{Hosts, SshOptions};

/// This machine, with no Docker.
fn machine() -> Machine {
    let hosts = Hosts::new(SshOptions::new("/nonexistent"), "/nonexistent");
    Machine::new("localhost".parse().unwrap(), hosts.local())
}
