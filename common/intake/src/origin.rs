//! Where people keep models.

use std::path::PathBuf;

use cutover_store::{BucketAddress, Digest, ForeignBucket, ForeignObject, Store};
use tokio::fs::File;
use url::Url;

use crate::folder::{self, Listed};
use crate::{Error, Result, Taken, Taking, web};

/// A place where a model is.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A file, or a folder with files.
    Folder(PathBuf),
    /// All objects of a bucket below a prefix.
    Bucket(BucketAddress),
    /// A file on the web, and the digest that it has.
    Web(Url, Digest),
}

/// What was found there, before any of it was read.
#[derive(Debug)]
pub struct Found {
    /// What stays the same as long as the content does; none: that is known by reading it alone.
    pub seen: Option<Digest>,
    /// The length of all files, in bytes; none: nobody says.
    pub size: Option<u64>,
    files: Files,
}

#[derive(Debug)]
enum Files {
    Listed(Vec<Listed>),
    Objects(ForeignBucket, Vec<ForeignObject>),
    Web,
}

impl Origin {
    /// Looks what is there.
    ///
    /// # Errors
    /// A folder that can't be read; a bucket that can't be listed, or has nothing there.
    pub async fn look(&self) -> Result<Found> {
        match self {
            Self::Folder(path) => {
                let files = folder::list(path).await?;
                let size = Some(files.iter().map(|file| file.size).sum());
                Ok(Found { seen: None, size, files: Files::Listed(files) })
            }
            Self::Bucket(address) => {
                let bucket = ForeignBucket::open(address.clone()).await;
                let objects = bucket.list().await?;
                if objects.is_empty() {
                    return Err(Error::Nothing { place: bucket.place(None) });
                }
                let size = Some(objects.iter().map(|object| object.size).sum());
                let seen = Some(seen(&bucket, &objects));
                Ok(Found { seen, size, files: Files::Objects(bucket, objects) })
            }
            Self::Web(url, content) => {
                let seen = Some(Digest::of(format!("{} {content}", web::place(url)).as_bytes()));
                Ok(Found { seen, size: None, files: Files::Web })
            }
        }
    }

    /// Reads all that was found, and takes it into the store; without one, it is only looked at what the version would be. `tell`
    /// hears how much was read, in bytes.
    ///
    /// # Errors
    /// What can't be read to its end, or has changed since; what is no model, or not what its digest says; a store that
    /// fails. What was read of it until then is in the store, and not stored again.
    pub async fn take_in(&self, found: Found, store: Option<&Store>, tell: impl Fn(u64)) -> Result<Taken> {
        let (mut taking, mut done) = (Taking::into(store), 0);
        let mut tell = |bytes| {
            done += bytes;
            tell(done);
        };
        match found.files {
            Files::Listed(files) => {
                for Listed { name, path, .. } in files {
                    let file = File::open(&path).await.map_err(folder::failed(&path))?;
                    taking.file(name, &path.display().to_string(), file, &mut tell).await?;
                }
            }
            Files::Objects(bucket, objects) => {
                for object in objects {
                    let (content, place) = (bucket.read(&object), bucket.place(Some(&object)));
                    taking.file(object.name, &place, content, &mut tell).await?;
                }
            }
            Files::Web => {
                if let Self::Web(url, wanted) = self {
                    taking.file(web::name(url), &web::place(url), web::open(url).await?, &mut tell).await?;
                    let is_right = |sum: &cutover_model::Sum| sum.to_string() == wanted.hex();
                    if let Some(sum) = taking.last().filter(|sum| !is_right(sum)) {
                        let (place, wanted) = (web::place(url), wanted.clone());
                        return Err(Error::Other { place, wanted, found: format!("sha256:{sum}") });
                    }
                }
            }
        }
        taking.finish(&self.to_string()).await
    }
}

/// What a bucket says of the objects, in one digest. Servers make another tag of every content, and of every time that it is put
/// in several parts.
fn seen(bucket: &ForeignBucket, objects: &[ForeignObject]) -> Digest {
    let mut all = bucket.place(None);
    for ForeignObject { name, size, tag, .. } in objects {
        all.push_str(&format!("\n{size} {tag} {name}"));
    }
    Digest::of(all.as_bytes())
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket(address) => write!(f, "s3://{}/{}", address.bucket, address.prefix),
            Self::Web(url, _) => f.write_str(&web::place(url)),
        }
    }
}
