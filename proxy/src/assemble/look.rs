//! What of a version is on this host already.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cutover_model::{Chunk, Manifest, ModelFile, Refusal, Sum};
use rustix::fs::statvfs;

use super::connection::Connection;
use super::error::{Trouble, failed};
use super::older::Older;
use super::part::{Part, Spot, close, read};
use super::place::{Place, absent};

/// What must be left on the disk: for what runs there, and for its logs.
const RESERVE: u64 = 256 << 20;

/// Which chunks are at their spots.
#[derive(Debug)]
pub(super) struct Look {
    /// All spots, in the order of the files.
    pub(super) spots: Vec<Spot>,
    /// Which of them have their chunk.
    pub(super) there: Vec<bool>,
    /// Which files are whole, by their number: nothing has to be written to those, nor read again.
    pub(super) whole: Vec<bool>,
    /// The bytes that were looked at.
    looked: u64,
}

impl Look {
    /// Looks for all chunks in what an attempt before has left, and in the other versions, from which they are copied. A file
    /// that is the same in another version is not copied, but the same file from then on.
    ///
    /// # Errors
    /// A disk that can't hold the rest, and one that fails.
    pub(super) fn at(
        place: &Place,
        part: &Part,
        manifest: &Manifest,
        connection: &mut Connection,
    ) -> Result<Self, Trouble> {
        let mut spots = Vec::new();
        for (number, file) in manifest.files().iter().enumerate() {
            let mut offset = 0;
            for chunk in &file.chunks {
                spots.push(Spot { file: number, offset, chunk: *chunk });
                offset += u64::from(chunk.size);
            }
        }
        let (there, whole) = (vec![false; spots.len()], vec![false; manifest.files().len()]);
        let mut look = Self { spots, there, whole, looked: 0 };
        let older = Older::of(&place.folder);
        look.parts(part, manifest, connection)?;
        look.link(part, manifest, &older, connection)?;
        look.check_space(place)?;
        look.copy(part, manifest, &older, connection)?;
        Ok(look)
    }

    /// The numbers, among the manifest's chunks, of those that some spot lacks.
    pub(super) fn lacking(&self, chunks: &[Chunk]) -> Vec<usize> {
        let lacks = self.spots.iter().zip(&self.there).filter(|(_, there)| !**there);
        let lacking: HashSet<Sum> = lacks.map(|(spot, _)| spot.chunk.sha256).collect();
        let is_lacking = |(_, chunk): &(usize, &Chunk)| lacking.contains(&chunk.sha256);
        chunks.iter().enumerate().filter(is_lacking).map(|(number, _)| number).collect()
    }

    /// What an attempt before has left.
    fn parts(
        &mut self,
        part: &Part,
        manifest: &Manifest,
        connection: &mut Connection,
    ) -> Result<(), Trouble> {
        for index in 0..self.spots.len() {
            let spot = self.spots[index];
            let path = part.path(&manifest.files()[spot.file]);
            let found = read(&path, spot.offset, &spot.chunk).map_err(failed("reading", &path))?;
            self.there[index] = found.is_some();
            self.tell(spot.chunk.size.into(), connection)?;
        }
        for (number, file) in manifest.files().iter().enumerate() {
            let spots = || self.spots.iter().enumerate().filter(move |(_, spot)| spot.file == number);
            let path = part.path(file);
            let is_right = spots().all(|(index, _)| self.there[index]);
            if is_right && part.has_length(file).map_err(failed("looking at", &path))? {
                continue;
            }
            if part.reopen(file).map_err(failed("removing", &path))? {
                let lost: Vec<usize> = spots().map(|(index, _)| index).collect();
                lost.into_iter().for_each(|index| self.there[index] = false);
            }
        }
        Ok(())
    }

    /// Files that another version has.
    fn link(
        &mut self,
        part: &Part,
        manifest: &Manifest,
        older: &Older,
        connection: &mut Connection,
    ) -> Result<(), Trouble> {
        for (number, file) in manifest.files().iter().enumerate() {
            let lacks = |(spot, there): (&Spot, &bool)| spot.file == number && !there;
            if !self.spots.iter().zip(&self.there).any(lacks) {
                continue;
            }
            let Some(same) = older.file(file.sha256, file.size) else { continue };
            if !self.is_sound(number, same, connection)? {
                continue;
            }
            let path = part.path(file);
            let link = || {
                absent(fs::remove_file(&path))?;
                fs::hard_link(same, &path)?;
                close(&path, &File::open(&path)?)
            };
            link().map_err(failed("linking", &path))?;
            self.whole[number] = true;
            let spots = self.spots.iter().zip(&mut self.there).filter(|(spot, _)| spot.file == number);
            spots.for_each(|(_, there)| *there = true);
        }
        Ok(())
    }

    /// Whether all chunks of a file are right in another one.
    fn is_sound(&mut self, number: usize, path: &Path, connection: &mut Connection) -> Result<bool, Trouble> {
        let spots: Vec<Spot> = self.spots.iter().filter(|spot| spot.file == number).copied().collect();
        for spot in spots {
            if read(path, spot.offset, &spot.chunk).map_err(failed("reading", path))?.is_none() {
                return Ok(false);
            }
            self.tell(spot.chunk.size.into(), connection)?;
        }
        Ok(true)
    }

    fn check_space(&self, place: &Place) -> Result<(), Refusal> {
        let lacks = self.spots.iter().zip(&self.there).filter(|(_, there)| !**there);
        let lacks: u64 = lacks.map(|(spot, _)| u64::from(spot.chunk.size)).sum();
        let there = statvfs(&place.folder).map_err(io::Error::from);
        let there = there.map_err(failed("asking for the space of", &place.folder))?;
        let free = there.f_bavail.saturating_mul(there.f_frsize);
        let needed = lacks.saturating_add(RESERVE);
        if lacks == 0 || needed <= free { Ok(()) } else { Err(Refusal::Space { free, needed }) }
    }

    /// Chunks that another version has, or another spot of this one.
    fn copy(
        &mut self,
        part: &Part,
        manifest: &Manifest,
        older: &Older,
        connection: &mut Connection,
    ) -> Result<(), Trouble> {
        let path_of = |file: &ModelFile| part.path(file);
        let own = self.spots.iter().zip(&self.there).filter(|(_, there)| **there);
        let own: HashMap<Sum, (PathBuf, u64)> = own
            .map(|(spot, _)| (spot.chunk.sha256, (path_of(&manifest.files()[spot.file]), spot.offset)))
            .collect();
        for index in 0..self.spots.len() {
            let spot = self.spots[index];
            if self.there[index] {
                continue;
            }
            let own = own.get(&spot.chunk.sha256).map(|(path, offset)| (path.as_path(), *offset));
            let Some((from, offset)) = own.or_else(|| older.chunk(&spot.chunk)) else { continue };
            let content = read(from, offset, &spot.chunk).map_err(failed("reading", from))?;
            self.tell(spot.chunk.size.into(), connection)?;
            // What is not right there any more is sent.
            let Some(content) = content else { continue };
            part.write(&manifest.files()[spot.file], spot.offset, &content)?;
            self.there[index] = true;
        }
        Ok(())
    }

    fn tell(&mut self, bytes: u64, connection: &mut Connection) -> Result<(), Trouble> {
        self.looked += bytes;
        connection.work(self.looked).map_err(Trouble::Lost)
    }
}
