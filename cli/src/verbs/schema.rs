//! `cutover schema`: what editors complete and check a deploy file by.

use std::io::Write;

use crate::exit::Exit;

/// The JSON Schema of the deploy file. Tests of `cutover-core` hold it against the reader.
pub(super) const SCHEMA: &str = include_str!("../../../docs/cutover.schema.json");

pub(super) fn run() -> anyhow::Result<Exit> {
    std::io::stdout().lock().write_all(SCHEMA.as_bytes())?;
    Ok(Exit::Ok)
}
