//! One version is put together.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use cutover_model::{Answer, Assembly, MAX_MANIFEST, Manifest, Refusal, Sum};

use super::connection::Connection;
use super::error::Trouble;
use super::flusher::Flusher;
use super::look::Look;
use super::part::{Part, Spot};
use super::place::Place;

/// How much is read between two looks whether it is time to say that it is at work, in bytes.
const PIECE: usize = 256 << 10;
/// From one word that the files are not on the disk yet to the next.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Has the version whole below `root`: what of it is there is looked for, and the shipper sends the rest.
pub(super) fn assemble(root: &Path, call: &Assembly, connection: &mut Connection) -> Result<Answer, Trouble> {
    let invalid = |reason: String| Refusal::Invalid { reason };
    let place = Place::new(root, &call.folder, call.version)?;
    if call.manifest > MAX_MANIFEST {
        return Err(invalid(format!("a manifest has no {} bytes", call.manifest)).into());
    }
    let mut bytes = vec![0; call.manifest];
    connection.fill(&mut bytes).map_err(Trouble::Lost)?;
    let found = Sum::of(&bytes);
    if found != call.version {
        return Err(Refusal::Corrupt { wanted: call.version, found }.into());
    }
    let manifest = Manifest::parse(&bytes).map_err(|error| invalid(format!("the manifest: {error}")))?;
    if place.whole().is_dir() {
        return Ok(Answer::Whole);
    }
    let part = Part::open(&place, &manifest)?;
    let look = Look::at(&place, &part, &manifest, connection)?;
    let chunks = manifest.chunks();
    let lacking = look.lacking(&chunks);
    thread::scope(|scope| {
        let (arriving, arrived) = channel();
        let (ending, ended) = channel();
        let flusher = Flusher::new(&part, &manifest, &look);
        scope.spawn(move || ending.send(flusher.flush(&arrived)));
        if !lacking.is_empty() {
            connection.answer(&Answer::Lacks(lacking.iter().copied().collect())).map_err(Trouble::Lost)?;
            let wanted: Vec<_> = lacking.iter().map(|number| chunks[*number]).collect();
            receive(&part, &manifest, &look, &wanted, &arriving, connection)?;
        }
        drop(arriving);
        // The disk may take its time.
        loop {
            match ended.recv_timeout(SAY_EVERY) {
                Ok(flushed) => return flushed.map_err(Trouble::from),
                Err(RecvTimeoutError::Timeout) => connection.work(manifest.size()).map_err(Trouble::Lost)?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(invalid("a bug: the files could not be flushed".to_owned()).into());
                }
            }
        }
    })?;
    part.finish(&place, &manifest, &bytes)?;
    Ok(Answer::Whole)
}

/// Takes in the chunks that were asked for, each of which is written to all its spots once it is what it should be.
fn receive(
    part: &Part,
    manifest: &Manifest,
    look: &Look,
    wanted: &[cutover_model::Chunk],
    arriving: &Sender<Sum>,
    connection: &mut Connection,
) -> Result<(), Trouble> {
    let mut spots: HashMap<Sum, Vec<&Spot>> = HashMap::new();
    for (spot, _) in look.spots.iter().zip(&look.there).filter(|(_, there)| !**there) {
        spots.entry(spot.chunk.sha256).or_default().push(spot);
    }
    let mut looked = 0;
    let longest = wanted.iter().map(|chunk| chunk.size).max().unwrap_or_default();
    let mut buffer = vec![0; longest as usize];
    for chunk in wanted {
        let content = &mut buffer[..chunk.size as usize];
        for piece in content.chunks_mut(PIECE) {
            connection.fill(piece).and_then(|()| connection.work(looked)).map_err(Trouble::Lost)?;
            looked += piece.len() as u64;
        }
        let found = Sum::of(content);
        if found != chunk.sha256 {
            return Err(Refusal::Corrupt { wanted: chunk.sha256, found }.into());
        }
        for spot in spots.get(&chunk.sha256).into_iter().flatten() {
            part.write(&manifest.files()[spot.file], spot.offset, content)?;
        }
        // It has ended where it has found something wrong, and is asked about that in the end.
        let _ = arriving.send(chunk.sha256);
    }
    Ok(())
}
