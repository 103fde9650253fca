//! The build context: a folder as one archive whose digest changes only when what is in it does.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cutover_core::Digest;
use cutover_store::Store;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};

use crate::bulk::Bulk;
use crate::patterns::Patterns;
use crate::{Error, Result};

/// Bytes that are handed on at once.
const CHUNK: usize = 256 * 1024;
/// Chunks that wait for the store.
const WAITING: usize = 8;
/// The longest Dockerfile, and the longest file of patterns, in bytes.
const TEXT_LIMIT: u64 = 1 << 20;

/// A folder to build from.
#[derive(Clone, Debug)]
pub struct Context {
    folder: PathBuf,
    dockerfile: PathBuf,
    deploy_file: Option<String>,
}

impl Context {
    /// The context in `folder`. `dockerfile` is relative to it; the deploy file stays out of it, so that a setting that
    /// changes doesn't build the image anew.
    ///
    /// # Errors
    /// No such folder, or no Dockerfile in it.
    pub fn new(folder: &Path, dockerfile: &str, deploy_file: &Path) -> Result<Self> {
        let folder = fs::canonicalize(folder).map_err(Error::io("open the build context", folder))?;
        let dockerfile = Path::new(dockerfile).components().as_path().to_owned();
        let inside = fs::canonicalize(folder.join(&dockerfile))
            .is_ok_and(|path| path.starts_with(&folder) && path.is_file());
        if !inside {
            return Err(Error::NoDockerfile { folder, dockerfile });
        }
        let deploy_file = fs::canonicalize(deploy_file).ok();
        let deploy_file =
            deploy_file.and_then(|path| Some(path.strip_prefix(&folder).ok()?.to_str()?.to_owned()));
        Ok(Self { folder, dockerfile, deploy_file })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The digest of the archive, which is kept nowhere, and how much is in it.
    ///
    /// # Errors
    /// A file that can't be read.
    pub async fn digest(self) -> Result<(Digest, Bulk)> {
        let (hasher, bulk) = joined(spawn_blocking(move || self.pack(Hasher(Sha256::new()))).await)?;
        Ok((Digest::from_hash(&hasher.0.finalize().into()), bulk))
    }

    /// Puts the archive into the store; answers with its digest, and how much is in it.
    ///
    /// # Errors
    /// A file that can't be read, or a store that can't be written.
    pub async fn store(self, store: &Store) -> Result<(Digest, Bulk)> {
        let (sender, mut chunks) = mpsc::channel(WAITING);
        let packing = spawn_blocking(move || {
            let (mut writer, bulk) = self.pack(io::BufWriter::with_capacity(CHUNK, Chunks(sender)))?;
            writer.flush().map(|()| bulk).map_err(Error::Archive)
        });
        let mut upload = store.upload().await?;
        while let Some(chunk) = chunks.recv().await {
            upload.write(&chunk).await?;
        }
        let bulk = joined(packing.await)?;
        Ok((upload.finish(None).await?.digest, bulk))
    }

    /// Writes the archive: entries in the order of their names, without times and owners.
    fn pack<W: Write>(&self, writer: W) -> Result<(W, Bulk)> {
        let (patterns, leaves_out) = self.patterns()?;
        let mut archive = Builder::new(writer);
        let mut bulk = if leaves_out { Bulk::of_part() } else { Bulk::default() };
        self.pack_folder(&mut archive, &patterns, Path::new(""), &mut bulk)?;
        Ok((archive.into_inner().map_err(Error::Archive)?, bulk))
    }

    /// The text of the Dockerfile.
    ///
    /// # Errors
    /// A file that can't be read, or is no text.
    pub fn dockerfile(&self) -> Result<String> {
        let read = self.text(&self.dockerfile)?;
        read.ok_or_else(|| Error::NoDockerfile {
            folder: self.folder.clone(),
            dockerfile: self.dockerfile.clone(),
        })
    }

    /// The text of a file of the context; none: it isn't there. Whoever made the context may have made a link of it, to any file
    /// of this machine, also one without end.
    fn text(&self, relative: &Path) -> Result<Option<String>> {
        let path = self.folder.join(relative);
        let Some(inside) = inside(&self.folder, &path)? else { return Ok(None) };
        let mut text = String::new();
        let file = File::open(&inside).map_err(Error::io("read", &path))?;
        file.take(TEXT_LIMIT + 1).read_to_string(&mut text).map_err(Error::io("read", &path))?;
        if text.len() as u64 > TEXT_LIMIT { Err(Error::LargeText(path)) } else { Ok(Some(text)) }
    }

    /// The patterns beside the Dockerfile, where there are any, or those of the context; and whether there are any at all.
    fn patterns(&self) -> Result<(Patterns, bool)> {
        let mut beside = self.dockerfile.clone().into_os_string();
        beside.push(".dockerignore");
        let (file, text) = match self.text(Path::new(&beside))? {
            Some(text) => (self.folder.join(beside), text),
            None => (
                self.folder.join(".dockerignore"),
                self.text(Path::new(".dockerignore"))?.unwrap_or_default(),
            ),
        };
        let also: Vec<&str> = self.deploy_file.as_deref().into_iter().collect();
        let patterns = Patterns::parse(&text, &also).map_err(|source| Error::Pattern { file, source })?;
        Ok((patterns, !text.trim().is_empty()))
    }

    fn pack_folder<W: Write>(
        &self,
        archive: &mut Builder<W>,
        patterns: &Patterns,
        folder: &Path,
        bulk: &mut Bulk,
    ) -> Result<()> {
        let path = self.folder.join(folder);
        let list =
            || fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
        let mut names = list().map_err(Error::io("list", &path))?;
        names.sort();
        for name in names {
            let relative = folder.join(name);
            let path = self.folder.join(&relative);
            let metadata = fs::symlink_metadata(&path).map_err(Error::io("look at", &path))?;
            let excluded = patterns.exclude(&relative) && relative != self.dockerfile;
            if !excluded {
                append(archive, &path, &relative, &metadata)?;
                if metadata.is_file() {
                    bulk.add(&relative, metadata.len());
                }
            }
            let wanted = !excluded || patterns.have_exceptions() || self.dockerfile.starts_with(&relative);
            if metadata.is_dir() && wanted {
                self.pack_folder(archive, patterns, &relative, bulk)?;
            }
        }
        Ok(())
    }
}

/// Where the file at `path`, which is in `folder`, is once all links are followed; none: it isn't there. Whoever made the folder may
/// have made a link of it, to any file of this machine.
///
/// # Errors
/// What is no file, or not below `folder`.
pub fn inside(folder: &Path, path: &Path) -> Result<Option<PathBuf>> {
    let found = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(Error::io("read", path))?,
    };
    let folder = fs::canonicalize(folder).map_err(Error::io("open", folder))?;
    let is_file = fs::metadata(&found).map_err(Error::io("look at", path))?.is_file();
    if !found.starts_with(&folder) || !is_file {
        return Err(Error::Outside { path: path.to_owned(), folder });
    }
    Ok(Some(found))
}

/// Appends one entry. Links stay links, wherever they lead; sockets, pipes and devices are left out, as Docker does.
fn append<W: Write>(
    archive: &mut Builder<W>,
    path: &Path,
    relative: &Path,
    metadata: &Metadata,
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_size(0);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let appended = if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        archive.append_data(&mut header, relative.join(""), io::empty())
    } else if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(Error::io("read the link", path))?;
        header.set_entry_type(EntryType::Symlink);
        archive.append_link(&mut header, relative, target)
    } else if metadata.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        let mut content = File::open(path).map_err(Error::io("open", path))?.take(metadata.len());
        let appended = archive.append_data(&mut header, relative, &mut content);
        if appended.is_ok() && content.limit() > 0 {
            return Err(Error::Changed(path.to_owned()));
        }
        appended
    } else {
        Ok(())
    };
    appended.map_err(Error::io("pack", path))
}

/// What a task on a thread of its own has answered; one that panicked has packed nothing.
fn joined<T>(ended: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    ended.unwrap_or_else(|error| Err(Error::Archive(io::Error::other(error))))
}

/// Hashes what is written.
struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands what is written to a task. Only for threads that may wait.
struct Chunks(mpsc::Sender<Vec<u8>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
