//! `cutover resume`: what a pause has let wait goes on.

use crate::args::{Global, Resume};
use crate::console::Console;
use crate::every_proxy::EveryProxy;
use crate::exit::Exit;

pub(super) async fn run(options: &Global, args: Resume, console: Console) -> anyhow::Result<Exit> {
    let proxies = EveryProxy::of(&options.at(args.place), args.force, console).await?;
    let (key, journal) = (proxies.service(), proxies.journal.as_ref());
    proxies.tell("resumed", console, async |machine| machine.proxy().resume(key, journal).await).await
}
