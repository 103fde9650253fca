//! The files of a version are read once more, in their order and behind whoever writes them: what is on the disk is what counts.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;

use cutover_model::{MAX_CHUNK, Manifest, Refusal, Sum, Summing};

use super::error::failed;
use super::look::Look;
use super::part::{Part, Spot, close};

/// After so many bytes, the kernel is made to write: in the end there is little left to wait for.
const SYNC_EVERY: u64 = 64 << 20;

/// What is to be read.
#[derive(Debug)]
pub(super) struct Follower {
    files: Vec<Followed>,
    spots: Vec<Spot>,
    there: Vec<bool>,
}

#[derive(Debug)]
struct Followed {
    path: PathBuf,
    /// As the manifest names it.
    name: String,
    sum: Sum,
    whole: bool,
}

impl Follower {
    /// Of a version of which `look` has found some.
    pub(super) fn new(part: &Part, manifest: &Manifest, look: &Look) -> Self {
        let files = manifest.files().iter().zip(&look.whole);
        let files = files.map(|(file, whole)| Followed {
            path: part.path(file),
            name: file.path.clone(),
            sum: file.sha256,
            whole: *whole,
        });
        Self { files: files.collect(), spots: look.spots.clone(), there: look.there.clone() }
    }

    /// Reads each file as soon as its chunks are there, of which `arrived` tells; compares its sum with the manifest's, makes
    /// it durable, and closes it to changes. Ends early, with `false`, where nothing arrives any more.
    ///
    /// # Errors
    /// A file with another sum, and a disk that fails.
    pub(super) fn follow(mut self, arrived: &Receiver<Sum>) -> Result<bool, Refusal> {
        let mut of_chunk: HashMap<Sum, Vec<usize>> = HashMap::new();
        for (index, spot) in self.spots.iter().enumerate() {
            of_chunk.entry(spot.chunk.sha256).or_default().push(index);
        }
        let (mut next, mut buffer) = (0, vec![0; MAX_CHUNK as usize]);
        for (number, followed) in self.files.iter().enumerate() {
            let end = next + self.spots[next..].iter().take_while(|spot| spot.file == number).count();
            if followed.whole {
                next = end;
                continue;
            }
            let path = &followed.path;
            let (mut summing, mut unsynced, mut file) = (Summing::default(), 0, None);
            for index in next..end {
                while !self.there[index] {
                    let Ok(sum) = arrived.recv() else { return Ok(false) };
                    of_chunk.get(&sum).into_iter().flatten().for_each(|spot| self.there[*spot] = true);
                }
                let Spot { offset, chunk, .. } = self.spots[index];
                let file = match &mut file {
                    Some(file) => file,
                    none => none.insert(File::open(path).map_err(failed("opening", path))?),
                };
                let content = &mut buffer[..chunk.size as usize];
                file.read_exact_at(content, offset).map_err(failed("reading", path))?;
                summing.add(content);
                unsynced += u64::from(chunk.size);
                if unsynced >= SYNC_EVERY {
                    file.sync_data().map_err(failed("flushing", path))?;
                    unsynced = 0;
                }
            }
            // One without content has no chunk that would have made it.
            let file = file.map_or_else(|| File::create(path), Ok).map_err(failed("opening", path))?;
            let found = summing.sum();
            if found != followed.sum {
                let (path, wanted) = (followed.name.clone(), followed.sum);
                return Err(Refusal::File { path, wanted, found });
            }
            close(path, &file).map_err(failed("flushing", path))?;
            next = end;
        }
        Ok(true)
    }
}
