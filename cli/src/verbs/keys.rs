//! `cutover keys`: the keys and certificates of a standing bus that tells its users apart.

use anyhow::Context;
use cutover_bus::{Access, Bus};
use cutover_core::BusUser;

use crate::args::{Global, Keys};
use crate::console::Console;
use crate::embedded::Keyring;
use crate::exit::Exit;

pub(super) async fn run(options: &Global, args: &Keys, console: Console) -> anyhow::Result<Exit> {
    let keyring = Keyring::of(&args.folder, &args.name)?;
    keyring.write_users()?;
    console.line(format_args!(
        "{}: a key for each user, the server's certificate, users.env",
        args.folder.display()
    ))?;
    if args.in_force {
        put_in_force(options, &keyring).await?;
        console.line(format_args!(
            "in force: what the keys before have signed counts up to now, and programs with these begin to work"
        ))?;
    }
    Ok(Exit::Ok)
}

/// As the operator of that folder: the server has to let its users in already.
async fn put_in_force(options: &Global, keyring: &Keyring) -> anyhow::Result<()> {
    let url = options.nats_url.as_ref().context(
        "no standing NATS server was named: set NATS_URL; what `cutover up` has started takes its keys with `cutover up --restart`",
    )?;
    let (own, named) = (keyring.access(url, BusUser::Operator), options.access(url)?);
    let access = Access { key: own.key, roots: named.roots.or(own.roots), ..named };
    let bus = Bus::enter(&access, "cutover").await?;
    if matches!(bus.open().await, Err(cutover_bus::Error::NotSetUp)) {
        bus.set_up(bus.suitable_copies()).await?;
    }
    Ok(bus.put_in_force(&keyring.public()).await?)
}
