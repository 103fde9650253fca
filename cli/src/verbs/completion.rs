//! `cutover completion` and `cutover man`: what a shell and a reader of manuals are given.

use std::fs;
use std::io::Write;

use clap::CommandFactory;

use crate::args::{Args, Completion, Man};
use crate::complete;
use crate::error::Error;
use crate::exit::Exit;

pub(super) fn script(args: Completion) -> anyhow::Result<Exit> {
    // Clap takes no other.
    let Some(script) = complete::registration(args.shell.as_str()) else { return Ok(Exit::Usage) };
    std::io::stdout().lock().write_all(&script?)?;
    Ok(Exit::Ok)
}

pub(super) fn pages(args: Man) -> anyhow::Result<Exit> {
    let failed = |source| Error::Io { action: "write manual pages to", path: args.folder.clone(), source };
    fs::create_dir_all(&args.folder).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), &args.folder).map_err(failed)?;
    Ok(Exit::Ok)
}
