//! A store in a folder: `blobs/sha256/<hex>` as in the OCI image layout, and `incoming/` for what is not whole yet.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cutover_core::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::fs::{self, File};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};
use tokio::task::spawn_blocking;

use crate::upload::CHUNK;
use crate::{Blob, Error, Result, Stored, Upload};

/// An upload that nobody has touched for this long belongs to a program that was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder of content by digest. Cheap to clone; any number of processes on one machine may share the folder.
#[derive(Debug, Clone)]
pub struct Store {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    blobs: PathBuf,
    incoming: PathBuf,
}

impl Store {
    /// Opens the store in the folder `path`, making it where it doesn't exist. Uploads that were left behind by a
    /// killed program more than a day ago are removed.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        let root = path.as_ref();
        let folder = Folder { blobs: root.join("blobs").join("sha256"), incoming: root.join("incoming") };
        for path in [&folder.blobs, &folder.incoming] {
            fs::create_dir_all(path).await.map_err(Error::io("create the artifact folder", path))?;
        }
        let store = Self { folder: Arc::new(folder) };
        store.remove_abandoned().await?;
        Ok(store)
    }

    /// Stores all that `content` yields and answers under which digest. With `expected`, content of another digest is
    /// refused and nothing is stored. Storing what is there already replaces the file, which mends a corrupt one.
    /// Cancel safe: what was written so far is removed.
    pub async fn put(
        &self,
        mut content: impl AsyncRead + Unpin,
        expected: Option<&Digest>,
    ) -> Result<Stored> {
        let mut upload = self.upload().await?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let received = upload.size();
            let read = content.read(&mut chunk).await.map_err(|source| Error::Source { received, source })?;
            if read == 0 {
                return upload.finish(expected).await;
            }
            upload.write(&chunk[..read]).await?;
        }
    }

    /// Stores content that is in memory and answers its digest.
    pub async fn put_bytes(&self, content: &[u8]) -> Result<Digest> {
        let mut upload = self.upload().await?;
        upload.write(content).await?;
        Ok(upload.finish(None).await?.digest)
    }

    /// Begins an upload that comes in pieces, each of which may come later than the one before.
    pub async fn upload(&self) -> Result<Upload> {
        let incoming = self.folder.incoming.clone();
        let made =
            spawn_blocking(move || NamedTempFile::new_in(incoming)).await.map_err(io::Error::from).flatten();
        let (file, path) = made.map_err(Error::io("create a file in", &self.folder.incoming))?.into_parts();
        Ok(Upload::new(File::from_std(file), path, self.folder.blobs.clone()))
    }

    /// Opens the content of `digest` from its beginning.
    pub async fn get(&self, digest: &Digest) -> Result<Blob> {
        let (file, size) = self.open_blob(digest).await?;
        Ok(Blob::new(file, size))
    }

    /// Opens a part of the content of `digest`: from `range.start` to before `range.end`, both in bytes.
    pub async fn get_range(&self, digest: &Digest, range: Range<u64>) -> Result<Blob> {
        let (mut file, size) = self.open_blob(digest).await?;
        if range.start > range.end || range.end > size {
            return Err(Error::OutOfRange {
                digest: digest.clone(),
                start: range.start,
                end: range.end,
                size,
            });
        }
        let start = io::SeekFrom::Start(range.start);
        file.seek(start).await.map_err(Error::io("seek in", &self.path_of(digest)))?;
        Ok(Blob::new(file, range.end - range.start))
    }

    /// The whole content of `digest`, at most `limit` bytes, and checked against the digest.
    pub async fn get_bytes(&self, digest: &Digest, limit: u64) -> Result<Bytes> {
        let (mut file, size) = self.open_blob(digest).await?;
        if size > limit {
            return Err(Error::TooLarge { digest: digest.clone(), size, limit });
        }
        let path = self.path_of(digest);
        let mut content = Vec::new();
        file.read_to_end(&mut content).await.map_err(Error::io("read", &path))?;
        self.check(digest, Digest::of(&content), path)?;
        Ok(content.into())
    }

    /// The length of the content of `digest` in bytes, or nothing where it isn't stored.
    pub async fn len(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path_of(digest);
        match fs::metadata(&path).await {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("look at", &path)(e)),
        }
    }

    /// Whether the content of `digest` is stored.
    pub async fn contains(&self, digest: &Digest) -> Result<bool> {
        Ok(self.len(digest).await?.is_some())
    }

    /// Reads the whole content of `digest` and checks it against the digest.
    pub async fn verify(&self, digest: &Digest) -> Result<()> {
        let (mut file, _) = self.open_blob(digest).await?;
        let path = self.path_of(digest);
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            match file.read(&mut chunk).await.map_err(Error::io("read", &path))? {
                0 => return self.check(digest, Digest::from_hash(&hash.finalize().into()), path),
                read => hash.update(&chunk[..read]),
            }
        }
    }

    fn check(&self, digest: &Digest, found: Digest, path: PathBuf) -> Result<()> {
        if found == *digest { Ok(()) } else { Err(Error::Corrupt { digest: digest.clone(), found, path }) }
    }

    async fn open_blob(&self, digest: &Digest) -> Result<(File, u64)> {
        let path = self.path_of(digest);
        let file = File::open(&path).await.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::NotFound { digest: digest.clone(), path: path.clone() },
            _ => Error::io("open", &path)(e),
        })?;
        let size = file.metadata().await.map_err(Error::io("look at", &path))?.len();
        Ok((file, size))
    }

    /// A digest is 64 hex digits and nothing else, so no digest leads out of the folder.
    fn path_of(&self, digest: &Digest) -> PathBuf {
        self.folder.blobs.join(digest.hex())
    }

    async fn remove_abandoned(&self) -> Result<()> {
        let incoming = &self.folder.incoming;
        let Some(before) = SystemTime::now().checked_sub(ABANDONED) else { return Ok(()) };
        let mut entries = fs::read_dir(incoming).await.map_err(Error::io("list", incoming))?;
        while let Some(entry) = entries.next_entry().await.map_err(Error::io("list", incoming))? {
            let touched = entry.metadata().await.and_then(|metadata| metadata.modified());
            // Its owner may finish or remove it at any moment: what has gone needs no removing.
            if touched.is_ok_and(|at| at < before) && fs::remove_file(entry.path()).await.is_ok() {
                tracing::info!(file = %entry.path().display(), "removed an abandoned upload");
            }
        }
        Ok(())
    }
}
