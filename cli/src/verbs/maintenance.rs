//! `cutover maintenance`: a page in the place of the service.

use std::fs;

use cutover_control::{Choice, Maintenance};

use crate::args::{self, Global, MaintenanceAction, MaintenanceOn, Resume};
use crate::clock;
use crate::console::Console;
use crate::error::Error;
use crate::every_proxy::EveryProxy;
use crate::exit::Exit;

pub(super) async fn run(options: &Global, args: args::Maintenance, console: Console) -> anyhow::Result<Exit> {
    match args.action {
        MaintenanceAction::On(args) => Box::pin(on(options, args, console)).await,
        MaintenanceAction::Off(args) => Box::pin(off(options, args, console)).await,
    }
}

async fn on(options: &Global, args: MaintenanceOn, console: Console) -> anyhow::Result<Exit> {
    let page = args.page.as_deref().map(|path| fs::read_to_string(path).map_err(Error::io("read", path)));
    let page = page.transpose()?;
    let proxies = EveryProxy::of(&options.at(args.place), args.force, console).await?;
    let maintenance = Maintenance {
        key: proxies.key(),
        journal: proxies.journal.as_ref().map(ToString::to_string),
        page,
        until: args.span.map(|span| clock::now().after(span.0).0),
        choose: args.pass.map(|(name, value)| Choice::Cookie { name, value }),
    };
    let say = async |machine: &cutover_fleet::Machine| machine.proxy().maintain(maintenance.clone()).await;
    let exit = proxies.tell("under maintenance", console, say).await?;
    if args.span.is_none() {
        console.note("it serves again with `cutover maintenance off`");
    }
    Ok(exit)
}

async fn off(options: &Global, args: Resume, console: Console) -> anyhow::Result<Exit> {
    let proxies = EveryProxy::of(&options.at(args.place), args.force, console).await?;
    let (key, journal) = (proxies.service(), proxies.journal.as_ref());
    let say = async |machine: &cutover_fleet::Machine| machine.proxy().end_maintenance(key, journal).await;
    proxies.tell("served", console, say).await
}
