//! Values on this machine: in the environment and in files.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cutover_core::Reference;
use zeroize::Zeroizing;

use crate::variables::Variables;
use crate::{Error, Secret};

/// The largest value that is taken for a secret: the largest known ones are certificate chains with their keys.
pub(crate) const LIMIT: usize = 64 * 1024;

/// How much of a file is read at a time.
const CHUNK: usize = 4096;

/// The permissions of a file that let its group or others read it (`chmod(1)`).
const READ_BY_OTHERS: u32 = 0o044;

/// The value of a variable.
pub(crate) fn variable(name: &str, variables: &Variables) -> Result<Secret, Error> {
    let value = variables.get(name).ok_or_else(|| Error::Unset(name.to_owned()))?;
    let reference = Reference::Environment(name.to_owned());
    let value = value.into_string().map_err(|_| Error::NotText(reference.clone()))?;
    if value.is_empty() { Err(Error::Empty(reference)) } else { Ok(Secret::new(value)) }
}

/// The content of a file, without its last line break. One that its group or others may read is used, with a warning in the
/// log.
pub(crate) async fn file(path: &Path) -> Result<Secret, Error> {
    let owned = path.to_owned();
    // Read without tokio's file, whose buffers would keep a copy.
    let content = tokio::task::spawn_blocking(move || read(&owned))
        .await
        .map_err(|error| Error::Unreadable { path: path.to_owned(), source: error.into() })??;
    text_of(content, &Reference::File(path.to_owned()))
}

/// What was read, without its last line break.
pub(crate) fn text_of(mut content: Zeroizing<Vec<u8>>, reference: &Reference) -> Result<Secret, Error> {
    if content.ends_with(b"\n") {
        content.pop();
        if content.ends_with(b"\r") {
            content.pop();
        }
    }
    if content.len() > LIMIT {
        return Err(Error::TooLarge { reference: reference.clone(), limit: LIMIT });
    }
    let text = std::str::from_utf8(&content).map_err(|_| Error::NotText(reference.clone()))?;
    if text.is_empty() { Err(Error::Empty(reference.clone())) } else { Ok(Secret::new(text.to_owned())) }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    // Looked at before it is opened: opening a pipe waits for its other end.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::NotAFile(path.to_owned()));
    }
    if metadata.permissions().mode() & READ_BY_OTHERS != 0 {
        tracing::warn!(path = %path.display(), "this secret can be read by others on this machine: chmod 600");
    }
    // As large as it may get from the start: a vector that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(LIMIT + 2 + CHUNK));
    let mut chunk = Zeroizing::new([0; CHUNK]);
    let mut file = File::open(path).map_err(unreadable)?;
    loop {
        let read = file.read(chunk.as_mut_slice()).map_err(unreadable)?;
        content.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if content.len() > LIMIT + 2 {
            return Err(Error::TooLarge { reference: Reference::File(path.to_owned()), limit: LIMIT });
        }
        if read == 0 {
            return Ok(content);
        }
    }
}
