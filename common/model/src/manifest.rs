//! What a model is made of.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{Error, Sum};

/// The longest chunk, in bytes: what shipper and helper hold in memory of each.
pub const MAX_CHUNK: u32 = 4 << 20;
/// The longest manifest that is read, in bytes: enough for half a terabyte.
pub const MAX_MANIFEST: usize = 64 << 20;
/// The longest name on Linux's file systems, in bytes (`NAME_MAX`), and a length that leaves room for the folders above
/// within `PATH_MAX`.
const MAX_NAME: usize = 255;
const MAX_PATH: usize = 3072;
/// The format that is written.
const FORMAT: u32 = 1;

/// The files of one version of a model. Two manifests of the same files are the same bytes, so a version is one digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    files: Vec<ModelFile>,
}

/// A file of a model. Who may read it, and when it was written, is no part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Where it is in the model's folder: names with slashes between.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// The sum of all of it.
    pub sha256: Sum,
    /// What it is made of, from its beginning.
    pub chunks: Vec<Chunk>,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chunk {
    /// Its sum, by which the artifact store has it.
    pub sha256: Sum,
    /// Its length in bytes, at most [`MAX_CHUNK`].
    pub size: u32,
}

impl Manifest {
    /// That of these files, in whichever order.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn new(mut files: Vec<ModelFile>) -> Result<Self, Error> {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let manifest = Self { format: FORMAT, files };
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest that these bytes are.
    ///
    /// # Errors
    /// Anything else; and one that would lead out of the folder that it is for.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_MANIFEST {
            return Err(Error::Long(bytes.len()));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The bytes by which it is stored and sent.
    ///
    /// # Errors
    /// One that is too long to be read again.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let bytes = serde_json::to_vec(self)?;
        if bytes.len() > MAX_MANIFEST { Err(Error::Long(bytes.len())) } else { Ok(bytes) }
    }

    /// Its files, in the order of their paths.
    pub fn files(&self) -> &[ModelFile] {
        &self.files
    }

    /// The length of all files together, in bytes.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }

    /// Its chunks in the order in which they come first, each once. By its number in this list a chunk is asked for and sent.
    pub fn chunks(&self) -> Vec<Chunk> {
        let mut known = HashSet::new();
        let all = self.files.iter().flat_map(|file| &file.chunks);
        all.filter(|chunk| known.insert(chunk.sha256)).copied().collect()
    }

    fn check(&self) -> Result<(), Error> {
        if self.format != FORMAT {
            return Err(Error::Format(self.format));
        }
        if self.files.is_empty() {
            return Err(Error::Empty);
        }
        let paths: HashSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        let mut before: Option<&str> = None;
        for file in &self.files {
            let path = file.path.as_str();
            if !is_path(path) {
                return Err(Error::Path(path.to_owned()));
            }
            if before.is_some_and(|before| before >= path) {
                return Err(Error::Order(path.to_owned()));
            }
            let mut folders = path.match_indices('/').map(|(end, _)| &path[..end]);
            if let Some(folder) = folders.find(|folder| paths.contains(folder)) {
                return Err(Error::FileAndFolder(folder.to_owned()));
            }
            let fits = file.chunks.iter().all(|chunk| (1..=MAX_CHUNK).contains(&chunk.size));
            let length: u64 = file.chunks.iter().map(|chunk| u64::from(chunk.size)).sum();
            if !fits || length != file.size {
                return Err(Error::Chunks(path.to_owned()));
            }
            before = Some(path);
        }
        Ok(())
    }
}

/// Whether these are names with slashes between, none of which leads out of the folder that it begins in.
pub fn is_path(path: &str) -> bool {
    let is_name =
        |name: &str| !matches!(name, "" | "." | "..") && name.len() <= MAX_NAME && !name.contains('\0');
    path.len() <= MAX_PATH && path.split('/').all(is_name)
}
