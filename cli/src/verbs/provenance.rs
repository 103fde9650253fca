//! `cutover provenance`: how the image of a release was made.

use std::io::{Write, stdout};

use crate::args::{Global, Provenance};
use crate::choice;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;

/// A statement names what the image was made of, by digest: it has no content of theirs.
const MAX: u64 = 16 << 20;

/// Prints the statement as it is stored: whoever signs or checks it has to have the same bytes.
pub(super) async fn run(options: &Global, args: &Provenance, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    let kept = match (args.release.as_deref(), log.service().live()) {
        (None, Some(live)) => live,
        (text, _) => choice::release(&log, text)?,
    };
    let nothing = || Error::NoProvenance { release: format!("{} ({})", kept.id, kept.release.version) };
    let provenance = kept.provenance.as_ref().ok_or_else(nothing)?;
    let statement = session.store().await?.get_bytes(provenance, MAX).await?;
    let mut out = stdout().lock();
    out.write_all(&statement)?;
    out.write_all(b"\n")?;
    Ok(Exit::Ok)
}
