//! The store, wherever it is.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use cutover_core::Digest;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::bucket::{Bucket, Sizes};
use crate::folder::Folder;
use crate::upload::{CHUNK, Target};
use crate::{Blob, BucketAddress, Error, Location, Result, Stored, Upload};

/// Content by digest. Cheap to clone; any number of processes may use the same place.
#[derive(Debug, Clone)]
pub struct Store {
    place: Place,
}

/// What is asked of a bucket is boxed: the client's futures are large, and few who store speak to one.
#[derive(Debug, Clone)]
enum Place {
    Folder(Arc<Folder>),
    Bucket(Arc<Bucket>),
}

/// What is stored under a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// When it was stored or renewed last, by the clock of the machine that has it.
    pub at: SystemTime,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many contents.
    pub count: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

impl Store {
    /// Opens the store. A folder is made where it doesn't exist, and uploads that were left behind there by a killed program
    /// are removed. Of a bucket it is made sure that it can be listed.
    ///
    /// # Errors
    /// A folder that can't be made; a server that doesn't answer, lacks the bucket or doesn't accept the credentials.
    pub async fn open(location: impl Into<Location>) -> Result<Self> {
        match location.into() {
            Location::Folder { path, .. } => {
                Ok(Self { place: Place::Folder(Arc::new(Folder::open(path).await?)) })
            }
            Location::Bucket(address) => Self::in_bucket(&address, Sizes::default()).await,
        }
    }

    /// The same in a bucket, with other sizes: for tests that can't store terabytes.
    #[doc(hidden)]
    pub async fn in_bucket(address: &BucketAddress, sizes: Sizes) -> Result<Self> {
        Ok(Self { place: Place::Bucket(Arc::new(Box::pin(Bucket::open(address.clone(), sizes)).await?)) })
    }

    /// Stores all that `content` yields and answers under which digest. With `expected`, content of another digest is
    /// refused and nothing is stored. Storing what is there already replaces it, which mends a corrupt one and makes it young.
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
        let target = match &self.place {
            Place::Folder(folder) => Target::File(folder.upload().await?),
            Place::Bucket(bucket) => Target::Object(bucket.upload()),
        };
        Ok(Upload::new(target))
    }

    /// Opens the content of `digest` from its beginning. It is checked while it is read: of content that isn't what the digest
    /// says, the last piece is not handed out, and reading fails with [`Error::Corrupt`]. So who has come to the end has read
    /// the right thing, as the builder relies on for its context.
    pub async fn get(&self, digest: &Digest) -> Result<Blob> {
        match &self.place {
            Place::Folder(folder) => {
                let (file, size) = folder.open_blob(digest).await?;
                Ok(Blob::of_file(file, size).checked(digest, folder.place_of(digest)))
            }
            Place::Bucket(bucket) => {
                let (object, size) = Box::pin(bucket.read(digest)).await?;
                Ok(Blob::of_object(object, size).checked(digest, bucket.place_of(digest)))
            }
        }
    }

    /// Opens a part of the content of `digest`: from `range.start` to before `range.end`, both in bytes. A part can't be
    /// checked: whoever puts parts together checks the whole, as the Docker Engines do that layers are shipped to.
    pub async fn get_range(&self, digest: &Digest, range: Range<u64>) -> Result<Blob> {
        let check = |size: u64| {
            let Range { start, end } = range;
            let fits = start <= end && end <= size;
            let outside = || Error::OutOfRange { digest: digest.clone(), start, end, size };
            if fits { Ok(end - start) } else { Err(outside()) }
        };
        match &self.place {
            Place::Folder(folder) => {
                let (file, size) = folder.open_blob(digest).await?;
                let length = check(size)?;
                let file = folder.seek(file, digest, range.start).await?;
                Ok(Blob::of_file(file, length))
            }
            Place::Bucket(bucket) => {
                let size = Box::pin(bucket.look_at(digest)).await?.ok_or_else(|| bucket.absent(digest))?.size;
                let length = check(size)?;
                Ok(Blob::of_object(bucket.read_range(digest, range), length))
            }
        }
    }

    /// The whole content of `digest`, at most `limit` bytes, and checked against the digest.
    pub async fn get_bytes(&self, digest: &Digest, limit: u64) -> Result<Bytes> {
        let blob = self.get(digest).await?;
        let size = blob.size();
        if size > limit {
            return Err(Error::TooLarge { digest: digest.clone(), size, limit });
        }
        Ok(blob.collect().await?.into())
    }

    /// The length of the content of `digest` in bytes, or nothing where it isn't stored.
    pub async fn len(&self, digest: &Digest) -> Result<Option<u64>> {
        match &self.place {
            Place::Folder(folder) => folder.len(digest).await,
            Place::Bucket(bucket) => Ok(Box::pin(bucket.look_at(digest)).await?.map(|found| found.size)),
        }
    }

    /// Whether the content of `digest` is stored.
    pub async fn contains(&self, digest: &Digest) -> Result<bool> {
        Ok(self.len(digest).await?.is_some())
    }

    /// The same as [`len`](Self::len), and the content stays for the next hours as if it had just been stored, whether or not
    /// anything names it yet. Whoever doesn't send content because it is there already has to ask this way.
    pub async fn renew(&self, digest: &Digest) -> Result<Option<u64>> {
        match &self.place {
            Place::Folder(folder) => folder.renew(digest).await,
            Place::Bucket(bucket) => Box::pin(bucket.renew(digest)).await,
        }
    }

    /// Reads the whole content of `digest` and checks it against the digest.
    pub async fn verify(&self, digest: &Digest) -> Result<()> {
        self.get(digest).await?.drain().await
    }

    /// All that is stored.
    pub async fn list(&self) -> Result<Vec<Entry>> {
        match &self.place {
            Place::Folder(folder) => folder.list().await,
            Place::Bucket(bucket) => Box::pin(bucket.list()).await,
        }
    }

    /// Removes those of `digests` that were neither stored nor renewed since `before`. What is stored or renewed meanwhile, by
    /// whomever, stays, or whoever does it learns that it is gone. What can't be removed is said and left for the next time.
    pub async fn remove_older(&self, digests: &[Digest], before: SystemTime) -> Result<Removed> {
        match &self.place {
            Place::Folder(folder) => folder.remove_older(digests, before).await,
            Place::Bucket(bucket) => Box::pin(bucket.remove_older(digests, before)).await,
        }
    }

    /// Whose the store is: `candidate`'s from now on, if it was nobody's. What one owner doesn't need may be another's, so only
    /// one of them may remove. It stands in the file, or the object, `owner`, and whoever removes that gives the store away.
    pub async fn owner(&self, candidate: &str) -> Result<String> {
        match &self.place {
            Place::Folder(folder) => folder.owner(candidate).await,
            Place::Bucket(bucket) => Box::pin(bucket.owner(candidate)).await,
        }
    }

    /// Removes what uploads have left behind whose program was killed. In a bucket nobody can say whether a program is alive:
    /// there it is what nobody has gone on with since `before`.
    pub async fn remove_abandoned(&self, before: SystemTime) -> Result<()> {
        match &self.place {
            Place::Folder(folder) => folder.remove_abandoned().await,
            Place::Bucket(bucket) => Box::pin(bucket.remove_abandoned(before)).await,
        }
    }
}
