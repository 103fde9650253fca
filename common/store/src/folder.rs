//! A store in a folder: `blobs/sha256/<hex>` as in the OCI image layout, and `incoming/` for what is not whole yet.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cutover_core::Digest;
use tempfile::TempPath;
use tokio::fs::{self, File};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::task::spawn_blocking;

use crate::folder::gate::Gate;
use crate::{Entry, Error, Removed, Result};

mod gate;
mod incoming;

/// A folder of content by digest.
#[derive(Debug)]
pub(crate) struct Folder {
    blobs: PathBuf,
    incoming: PathBuf,
    owner: PathBuf,
    gate: Gate,
}

impl Folder {
    pub(crate) async fn open(root: PathBuf) -> Result<Self> {
        let (blobs, incoming) = (root.join("blobs").join("sha256"), root.join("incoming"));
        for path in [&blobs, &incoming] {
            fs::create_dir_all(path).await.map_err(Error::io("create the artifact folder", path))?;
        }
        let folder = Self { blobs, incoming, owner: root.join("owner"), gate: Gate::new(root.join("gate")) };
        folder.remove_abandoned().await?;
        Ok(folder)
    }

    pub(crate) async fn upload(&self) -> Result<FileUpload> {
        let incoming = self.incoming.clone();
        let made = blocking(move || incoming::create(&incoming)).await;
        let (file, path) = made.map_err(Error::io("create a file in", &self.incoming))?.into_parts();
        Ok(FileUpload {
            file: File::from_std(file),
            path,
            blobs: self.blobs.clone(),
            gate: self.gate.clone(),
        })
    }

    pub(crate) async fn open_blob(&self, digest: &Digest) -> Result<(File, u64)> {
        let path = self.path_of(digest);
        let file = File::open(&path).await.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                Error::NotFound { digest: digest.clone(), place: self.place_of(digest) }
            }
            _ => Error::io("open", &path)(e),
        })?;
        let size = file.metadata().await.map_err(Error::io("look at", &path))?.len();
        Ok((file, size))
    }

    pub(crate) async fn seek(&self, mut file: File, digest: &Digest, start: u64) -> Result<File> {
        let sought = file.seek(io::SeekFrom::Start(start)).await;
        sought.map_err(Error::io("seek in", &self.path_of(digest)))?;
        Ok(file)
    }

    pub(crate) async fn len(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path_of(digest);
        let found = absent(fs::metadata(&path).await).map_err(Error::io("look at", &path))?;
        Ok(found.map(|metadata| metadata.len()))
    }

    pub(crate) async fn renew(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path_of(digest);
        let writing = self.gate.write().await?;
        let renewed = {
            let path = path.clone();
            blocking(move || {
                let _writing = writing;
                let file = std::fs::File::open(path)?;
                file.set_modified(SystemTime::now())?;
                Ok(file.metadata()?.len())
            })
        };
        absent(renewed.await).map_err(Error::io("renew", &path))
    }

    pub(crate) async fn list(&self) -> Result<Vec<Entry>> {
        let blobs = self.blobs.clone();
        blocking(move || entries_of(&blobs)).await.map_err(Error::io("list", &self.blobs))
    }

    pub(crate) async fn remove_older(&self, digests: &[Digest], before: SystemTime) -> Result<Removed> {
        let mut all = Removed::default();
        for digest in digests {
            // One at a time, so that whoever stores waits for no longer than that takes.
            let removing = self.gate.remove().await?;
            let path = self.path_of(digest);
            let removed = {
                let path = path.clone();
                blocking(move || {
                    let _removing = removing;
                    remove_if_older(&path, before)
                })
            };
            match absent(removed.await) {
                Ok(Some(Some(bytes))) => {
                    all.count += 1;
                    all.bytes += bytes;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "what nothing needs could not be removed");
                }
            }
        }
        Ok(all)
    }

    pub(crate) async fn remove_abandoned(&self) -> Result<()> {
        let incoming = self.incoming.clone();
        blocking(move || incoming::sweep(&incoming)).await.map_err(Error::io("list", &self.incoming))
    }

    pub(crate) async fn owner(&self, candidate: &str) -> Result<String> {
        let read = async || {
            let read =
                absent(fs::read_to_string(&self.owner).await).map_err(Error::io("read", &self.owner))?;
            Ok(read.map(|owner| owner.trim().to_owned()))
        };
        if let Some(owner) = read().await? {
            return Ok(owner);
        }
        let (incoming, path, text) = (self.incoming.clone(), self.owner.clone(), format!("{candidate}\n"));
        let written = blocking(move || {
            let mut file = incoming::create(&incoming)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            match file.persist_noclobber(path) {
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                written => Ok(written.map(drop)?),
            }
        });
        written.await.map_err(Error::io("write", &self.owner))?;
        Ok(read().await?.unwrap_or_default())
    }

    /// The file of a content, for people.
    pub(crate) fn place_of(&self, digest: &Digest) -> String {
        self.path_of(digest).display().to_string()
    }

    /// A digest is 64 hex digits and nothing else, so no digest leads out of the folder.
    fn path_of(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }
}

/// A file that is written to.
#[derive(Debug)]
pub(crate) struct FileUpload {
    file: File,
    path: TempPath,
    blobs: PathBuf,
    gate: Gate,
}

impl FileUpload {
    /// Writes some of the piece and says how much. Cancel safe.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> Result<usize> {
        self.file.write(piece).await.map_err(Error::io("write to", &self.path))
    }

    /// Moves the file to its place, once it is on the disk.
    pub(crate) async fn publish(mut self, digest: &Digest) -> Result<()> {
        self.file.flush().await.map_err(Error::io("write to", &self.path))?;
        self.file.sync_all().await.map_err(Error::io("flush to disk", &self.path))?;
        let (file, place) = (self.file.into_std().await, self.blobs.join(digest.hex()));
        let writing = self.gate.write().await?;
        let moved = {
            let place = place.clone();
            blocking(move || {
                let _writing = writing;
                // Its last piece may have come long ago.
                file.set_modified(SystemTime::now())?;
                publish(self.path, &place, &self.blobs)
            })
        };
        moved.await.map_err(Error::io("move an upload to", &place))
    }
}

/// Renames a finished file to its place and makes the name durable too: after a power cut either all of it is there or
/// nothing (rename(2), fsync(2): the folder has to be flushed by itself).
fn publish(file: TempPath, place: &Path, folder: &Path) -> io::Result<()> {
    file.persist(place)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Files with other names than digests are somebody else's.
fn entries_of(blobs: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in std::fs::read_dir(blobs)? {
        let file = file?;
        let name = file.file_name();
        let Ok(digest) = format!("sha256:{}", name.to_string_lossy()).parse::<Digest>() else { continue };
        let Some(metadata) = absent(file.metadata())? else { continue };
        entries.push(Entry { digest, size: metadata.len(), at: metadata.modified()? });
    }
    Ok(entries)
}

/// Answers with its length, or nothing where it is younger.
fn remove_if_older(path: &Path, before: SystemTime) -> io::Result<Option<u64>> {
    let metadata = std::fs::metadata(path)?;
    if metadata.modified()? >= before {
        return Ok(None);
    }
    std::fs::remove_file(path)?;
    Ok(Some(metadata.len()))
}

/// What isn't there is no error.
fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::from).flatten()
}
