//! `cutover keys`: the keys and certificates of a standing bus that tells its users apart.

use crate::args::Keys;
use crate::console::Console;
use crate::embedded::Keyring;
use crate::exit::Exit;

pub(super) fn run(args: &Keys, console: Console) -> anyhow::Result<Exit> {
    let keyring = Keyring::of(&args.folder, &args.name)?;
    keyring.write_users()?;
    console.line(format_args!(
        "{}: a key for each user, the server's certificate, users.env",
        args.folder.display()
    ))?;
    Ok(Exit::Ok)
}
