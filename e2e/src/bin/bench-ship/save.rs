//! `docker save | zstd | ssh | docker load`, which sends all of an image each time. To several hosts at once: one `docker
//! save` for each, as a loop in a script does it.

use std::process::Command;
use std::thread;

use anyhow::anyhow;
use cutover_e2e::Host;

use crate::command::{run, ssh};

pub(crate) fn send(image: &str, hosts: &[Host]) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let sending: Vec<_> = hosts.iter().map(|host| scope.spawn(|| to(image, host))).collect();
        sending.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a script panicked"))?)
    })
}

fn to(image: &str, host: &Host) -> anyhow::Result<()> {
    let script = "set -o pipefail; image=$1; shift; docker save \"$image\" | zstd --quiet --stdout -T0 | \"$@\" 'zstd --quiet --decompress --stdout | docker load'";
    run(Command::new("bash").args(["-c", script, "bash", image]).args(ssh(host))).map(drop)
}
