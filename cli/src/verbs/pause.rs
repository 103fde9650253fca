//! `cutover pause`: new requests wait, until `resume` or for a while.

use cutover_control::Pause;

use crate::args::{self, Global};
use crate::console::Console;
use crate::every_proxy::EveryProxy;
use crate::exit::Exit;

pub(super) async fn run(options: &Global, args: args::Pause, console: Console) -> anyhow::Result<Exit> {
    let proxies = EveryProxy::of(&options.at(args.place), args.force, console).await?;
    let pause = Pause {
        key: proxies.key(),
        journal: proxies.journal.as_ref().map(ToString::to_string),
        hold_ms: u64::try_from(args.span.0.as_millis()).unwrap_or(u64::MAX),
        max_waiting: args.waiting,
    };
    let done = proxies.tell("paused", console, async |machine| machine.proxy().pause(pause.clone()).await);
    let exit = done.await?;
    console.note(format_args!("it goes on by itself in {}, or with `cutover resume`", args.span));
    Ok(exit)
}
