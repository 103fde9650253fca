//! `cutover proxy upgrade`: new proxies in the place of those that serve.

use crate::args::{Global, Proxy, ProxyAction};
use crate::console::Console;
use crate::exit::Exit;

use super::setup::make_ready;

pub(super) async fn run(options: &Global, args: Proxy, console: Console) -> anyhow::Result<Exit> {
    match args.action {
        ProxyAction::Upgrade(setup) => Box::pin(make_ready(options, setup, true, console)).await,
    }
}
