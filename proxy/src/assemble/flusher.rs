//! The files of a version are brought onto the disk, in their order and behind whoever writes them.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;

use cutover_model::{Manifest, Refusal, Sum};

use super::error::failed;
use super::look::Look;
use super::part::{Part, Spot, close};

/// After so many bytes, the kernel is made to write: in the end there is little left to wait for.
const SYNC_EVERY: u64 = 64 << 20;

/// What is to be flushed.
#[derive(Debug)]
pub(super) struct Flusher {
    /// The path of each file, and whether it is whole and on the disk.
    files: Vec<(PathBuf, bool)>,
    spots: Vec<Spot>,
    there: Vec<bool>,
}

impl Flusher {
    /// Of a version of which `look` has found some.
    pub(super) fn new(part: &Part, manifest: &Manifest, look: &Look) -> Self {
        let files = manifest.files().iter().map(|file| part.path(file)).zip(look.whole.iter().copied());
        Self { files: files.collect(), spots: look.spots.clone(), there: look.there.clone() }
    }

    /// Makes each file durable as soon as its chunks are there, of which `arrived` tells, and closes it to changes. Its sum isn't
    /// asked for: each chunk was compared with its own before it was written, or where it was found, and which of them make the
    /// file says the manifest. Ends early where nothing arrives any more.
    ///
    /// # Errors
    /// A disk that fails.
    pub(super) fn flush(mut self, arrived: &Receiver<Sum>) -> Result<(), Refusal> {
        let mut of_chunk: HashMap<Sum, Vec<usize>> = HashMap::new();
        for (index, spot) in self.spots.iter().enumerate() {
            of_chunk.entry(spot.chunk.sha256).or_default().push(index);
        }
        let mut next = 0;
        for (number, (path, is_whole)) in self.files.iter().enumerate() {
            let end = next + self.spots[next..].iter().take_while(|spot| spot.file == number).count();
            if *is_whole {
                next = end;
                continue;
            }
            let (mut unsynced, mut file) = (0, None);
            for index in next..end {
                while !self.there[index] {
                    let Ok(sum) = arrived.recv() else { return Ok(()) };
                    of_chunk.get(&sum).into_iter().flatten().for_each(|spot| self.there[*spot] = true);
                }
                let file = match &mut file {
                    Some(file) => file,
                    none => none.insert(File::open(path).map_err(failed("opening", path))?),
                };
                unsynced += u64::from(self.spots[index].chunk.size);
                if unsynced >= SYNC_EVERY {
                    file.sync_data().map_err(failed("flushing", path))?;
                    unsynced = 0;
                }
            }
            // One without content has no chunk that would have made it.
            let file = file.map_or_else(|| File::create(path), Ok).map_err(failed("opening", path))?;
            close(path, &file).map_err(failed("flushing", path))?;
            next = end;
        }
        Ok(())
    }
}
