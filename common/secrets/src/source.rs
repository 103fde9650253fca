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
const LIMIT: usize = 64 * 1024;

/// The permissions of a file that let its group or others read it (`chmod(1)`).
const READ_BY_OTHERS: u32 = 0o044;

/// The value of a variable.
pub(crate) fn variable(name: &str, variables: &Variables) -> Result<Secret, Error> {
    let value = variables.get(name).ok_or_else(|| Error::Unset(name.to_owned()))?;
    text(Zeroizing::new(value.into_encoded_bytes()), || Reference::Environment(name.to_owned()))
}

/// The content of a file, without its last line break. One that its group or others may read is used, with a warning in the
/// log.
pub(crate) async fn file(path: &Path) -> Result<Secret, Error> {
    let owned = path.to_owned();
    // Read without tokio's file, whose buffers would keep a copy.
    let mut content = tokio::task::spawn_blocking(move || read(&owned))
        .await
        .map_err(|error| Error::Unreadable { path: path.to_owned(), source: error.into() })??;
    if content.ends_with(b"\n") {
        content.pop();
        if content.ends_with(b"\r") {
            content.pop();
        }
    }
    text(content, || Reference::File(path.to_owned()))
}

fn text(bytes: Zeroizing<Vec<u8>>, reference: impl Fn() -> Reference) -> Result<Secret, Error> {
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::NotText(reference()))?;
    if text.is_empty() { Err(Error::Empty(reference())) } else { Ok(Secret::new(text.to_owned())) }
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
    let mut content = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
    let mut chunk = Zeroizing::new([0; 4096]);
    let mut file = File::open(path).map_err(unreadable)?;
    loop {
        let read = file.read(chunk.as_mut_slice()).map_err(unreadable)?;
        content.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if content.len() > LIMIT {
            return Err(Error::TooLarge { path: path.to_owned(), limit: LIMIT });
        }
        if read == 0 {
            return Ok(content);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn resolve_text(text: &str) -> Result<Secret, Error> {
        crate::resolve(&text.parse().unwrap()).await
    }

    async fn resolve_file(content: &[u8]) -> Result<Secret, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, content).unwrap();
        crate::resolve(&Reference::File(path)).await
    }

    #[tokio::test]
    async fn a_variable_has_its_value() {
        // Set by cargo for every test; this process can't set one without unsafe code.
        assert_eq!(resolve_text("env://CARGO_PKG_NAME").await.unwrap().expose(), "cutover-secrets");
        let error = resolve_text("env://CUTOVER_SURELY_NOT_SET").await.unwrap_err();
        assert!(error.to_string().contains("CUTOVER_SURELY_NOT_SET"));
    }

    #[tokio::test]
    async fn the_last_line_break_of_a_file_is_not_part_of_it() {
        assert_eq!(resolve_file(b"hunter2\n").await.unwrap().expose(), "hunter2");
        assert_eq!(resolve_file(b"hunter2\r\n").await.unwrap().expose(), "hunter2");
        assert_eq!(resolve_file(b" two\nlines\n\n").await.unwrap().expose(), " two\nlines\n");
    }

    #[tokio::test]
    async fn what_can_not_be_a_secret_is_refused() {
        assert!(matches!(resolve_file(b"\n").await, Err(Error::Empty(_))));
        assert!(matches!(resolve_file(&[0xff, 0xfe]).await, Err(Error::NotText(_))));
        assert!(matches!(resolve_file(&vec![b'x'; LIMIT + 1]).await, Err(Error::TooLarge { .. })));
        assert_eq!(resolve_file(&vec![b'x'; LIMIT]).await.unwrap().expose().len(), LIMIT);
        assert!(matches!(resolve_text("file:///").await, Err(Error::NotAFile(_))));
        assert!(matches!(resolve_text("file:///no/such/file").await, Err(Error::Unreadable { .. })));
    }

    #[tokio::test]
    async fn a_value_is_never_shown() {
        let secret = resolve_file(b"hunter2").await.unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let error = resolve_file(b"hunter2 \xff").await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
