//! Programs of this machine, run to their end.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use cutover_e2e::Host;

/// Runs it, and answers with what it wrote to standard output.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The words by which a script reaches the host.
pub(crate) fn ssh(host: &Host) -> Vec<String> {
    vec![
        "ssh".to_owned(),
        "-i".to_owned(),
        host.key.to_string_lossy().into_owned(),
        "-o".to_owned(),
        format!("UserKnownHostsFile={}", host.known_hosts.display()),
        format!("root@{}", host.address),
    ]
}
