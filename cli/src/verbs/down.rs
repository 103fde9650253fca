//! `cutover down`: stops what `up` has started.

use serde::Serialize;

use crate::args::Global;
use crate::console::Console;
use crate::embedded;
use crate::exit::Exit;

/// What was stopped, as `--json` has it.
#[derive(Serialize)]
struct Report {
    stopped: usize,
}

pub(super) async fn run(options: &Global, console: Console) -> anyhow::Result<Exit> {
    let stopped = embedded::down(&options.home()).await?.processes;
    if console.json {
        console.object(&Report { stopped })?;
    } else if stopped == 0 {
        console.line("nothing was running")?;
    } else {
        console.line(format_args!(
            "stopped {stopped} processes; journal and artifacts are kept in {}",
            options.home().display()
        ))?;
    }
    Ok(Exit::Ok)
}
