//! `cutover up`: NATS and the programs on this machine.

use crate::args::{Global, Up};
use crate::console::Console;
use crate::embedded;
use crate::exit::Exit;

pub(super) async fn run(options: &Global, args: Up, console: Console) -> anyhow::Result<Exit> {
    let options = embedded::Options {
        home: options.home(),
        nats_server: args.nats_server,
        scale: args.scale.into_iter().collect(),
        secure: args.secure,
        restart: args.restart,
    };
    let control_plane = embedded::up(&options, &|line| console.note(line)).await?;
    if console.json {
        console.object(&Running { programs: control_plane.scale() })?;
    } else {
        console.line(format_args!("up: {}", control_plane.summary()))?;
    }
    Ok(Exit::Ok)
}

/// What runs, as `--json` has it.
#[derive(serde::Serialize)]
struct Running {
    programs: std::collections::BTreeMap<cutover_core::Program, usize>,
}
