//! `cutover adopt --from`: takes the ports of the hosts over from another proxy.

use std::cell::Cell;
use std::io::{self, IsTerminal};

use crate::args::Global;
use crate::console::Console;
use crate::exit::Exit;
use crate::follow::Interrupt;
use crate::project::Project;
use crate::setup::Step;
use crate::takeover::{Error, Takeover};
use crate::verbs::adopt::is_meant;

pub(super) async fn run(
    options: &Global,
    container: &str,
    yes: bool,
    console: Console,
) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let target = &project.target;
    let wants_tls = target.settings.proxy.tls.is_some();
    let takeover = Takeover::look(&target.key, &target.hosts, container, wants_tls).await?;
    if takeover.is_done() {
        console.note("nothing to take over");
    }
    for (spec, warning) in takeover.warnings() {
        console.note(format_args!("note: {}: {warning}", spec.name));
    }
    if !takeover.is_done() && !yes {
        let refused = || Error::Unconfirmed { container: container.to_owned() };
        if console.json || !io::stdin().is_terminal() {
            return Err(refused().into());
        }
        let question = format!(
            "all that comes to ports 80 and 443 comes to Cutover's proxy then, and {container} is stopped. Go on?"
        );
        if !is_meant(&question).await? {
            return Err(refused().into());
        }
    }
    let report = |step: &Step| {
        // A standard output that was closed is no reason to leave a host half way.
        let _ = if console.json { console.object(step) } else { console.line(step) };
    };
    let stopping = Cell::new(false);
    let mut interrupt = Interrupt::catch()?;
    let mut running = Box::pin(takeover.run(&stopping, &report));
    let stopped = tokio::select! {
        ended = &mut running => { ended?; None }
        signal = interrupt.signal() => {
            console.note("a host that was begun with is brought to its end; no other is begun with");
            stopping.set(true);
            running.await?;
            Some(signal)
        }
    };
    if let Some(signal) = stopped {
        return Ok(signal);
    }
    let left = takeover.left().await?;
    if !left.is_empty() {
        console.note(format_args!(
            "note: Kamal's replicas still run, and nobody asks them any more ({}): `kamal app stop` ends them",
            left.join(", ")
        ));
    }
    Ok(Exit::Ok)
}
