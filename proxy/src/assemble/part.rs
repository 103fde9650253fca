//! A version that isn't whole yet.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cutover_model::{Chunk, Manifest, ModelFile, Refusal, Sum};

use super::error::failed;
use super::place::{Place, absent, sync_folder};

/// Nobody changes what is whole.
const FILE_MODE: u32 = 0o444;
const FOLDER_MODE: u32 = 0o555;

/// Where a chunk of a version belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// The number of the file in the manifest.
    pub(super) file: usize,
    /// Where it begins in the file, in bytes.
    pub(super) offset: u64,
    pub(super) chunk: Chunk,
}

/// The folder in which a version comes to be.
#[derive(Debug)]
pub(super) struct Part {
    folder: PathBuf,
}

impl Part {
    /// Makes the folders that the files need; what an attempt before has left stays.
    pub(super) fn open(place: &Place, manifest: &Manifest) -> Result<Self, Refusal> {
        let part = Self { folder: place.part() };
        for folder in part.folders(manifest) {
            fs::create_dir_all(&folder).map_err(failed("making", &folder))?;
            // An attempt that ended right before the last step has closed it.
            fs::set_permissions(&folder, Permissions::from_mode(0o755))
                .map_err(failed("opening", &folder))?;
        }
        Ok(part)
    }

    /// The file of the version.
    pub(super) fn path(&self, file: &ModelFile) -> PathBuf {
        self.folder.join(&file.path)
    }

    /// Writes a piece of a file, which is made where it isn't there.
    pub(super) fn write(&self, file: &ModelFile, offset: u64, content: &[u8]) -> Result<(), Refusal> {
        let path = self.path(file);
        let options = File::options().write(true).create(true).truncate(false).open(&path);
        options.and_then(|open| open.write_all_at(content, offset)).map_err(failed("writing", &path))
    }

    /// Whether a file is there and as long as in the manifest.
    pub(super) fn has_length(&self, file: &ModelFile) -> io::Result<bool> {
        let found = absent(fs::symlink_metadata(self.path(file)))?;
        Ok(found.is_some_and(|found| found.is_file() && found.len() == file.size))
    }

    /// Removes a file that can't be written to any more, as it is closed, or another version's too.
    pub(super) fn reopen(&self, file: &ModelFile) -> io::Result<bool> {
        let path = self.path(file);
        let Some(found) = absent(fs::symlink_metadata(&path))? else { return Ok(false) };
        let fits = found.is_file() && found.len() <= file.size;
        if fits && found.nlink() == 1 && !found.permissions().readonly() {
            return Ok(false);
        }
        fs::remove_file(&path).map(|()| true)
    }

    /// Gives the version its name: from here on it is whole. All its files are on the disk already.
    pub(super) fn finish(self, place: &Place, manifest: &Manifest, bytes: &[u8]) -> Result<(), Refusal> {
        let path = place.manifest();
        let write = || {
            fs::write(&path, bytes)?;
            File::open(&path)?.sync_all()
        };
        write().map_err(failed("writing", &path))?;
        for folder in self.folders(manifest).into_iter().rev() {
            let close = || {
                sync_folder(&folder)?;
                fs::set_permissions(&folder, Permissions::from_mode(FOLDER_MODE))
            };
            close().map_err(failed("closing", &folder))?;
        }
        let whole = place.whole();
        let rename = || {
            fs::rename(&self.folder, &whole)?;
            sync_folder(&place.folder)
        };
        rename().map_err(failed("naming", &whole))
    }

    /// The folder itself, and those in it, each before what is in it.
    fn folders(&self, manifest: &Manifest) -> Vec<PathBuf> {
        let above = |file: &ModelFile| {
            let ends: Vec<usize> = file.path.match_indices('/').map(|(end, _)| end).collect();
            ends.into_iter().map(|end| self.folder.join(&file.path[..end])).collect::<Vec<_>>()
        };
        let mut folders: Vec<PathBuf> = manifest.files().iter().flat_map(above).collect();
        folders.push(self.folder.clone());
        folders.sort();
        folders.dedup();
        folders
    }
}

/// The content at a spot of a file, where it is the chunk's; nothing where it is another's, or not there.
pub(super) fn read(path: &Path, offset: u64, chunk: &Chunk) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = absent(File::open(path))? else { return Ok(None) };
    let mut content = vec![0; chunk.size as usize];
    match file.read_exact_at(&mut content, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok((Sum::of(&content) == chunk.sha256).then_some(content)),
    }
}

/// Makes a file durable, and closes it to all changes.
pub(super) fn close(path: &Path, file: &File) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(FILE_MODE))?;
    file.sync_all()
}
