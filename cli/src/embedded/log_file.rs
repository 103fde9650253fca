use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Error;

/// A log that is longer when its process starts is put aside: one `.old` of it is kept.
const MAX_BYTES: u64 = 10 << 20;
/// How much of a log's end is looked at for its last lines.
const TAIL_BYTES: u64 = 8 << 10;

/// Opens the log of a process that is about to start, to be appended to.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    if path.metadata().is_ok_and(|metadata| metadata.len() > MAX_BYTES) {
        fs::rename(path, path.with_extension("log.old")).map_err(Error::file("put aside", path))?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.map_err(Error::file("open", path))
}

/// The last lines of a log under its name, for an error message.
pub(super) fn tail(path: &Path, lines: usize) -> String {
    let text = match read_end(path) {
        Ok(text) if text.trim().is_empty() => return format!("{} is empty", path.display()),
        Ok(text) => text,
        Err(error) => return format!("{} can't be read: {error}", path.display()),
    };
    let all: Vec<_> = text.lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    format!("the last lines of {}:\n  {}", path.display(), last.join("\n  "))
}

fn read_end(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_put_aside_when_its_process_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shipper-1.log");
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(open(&path).unwrap().metadata().unwrap().len(), 0);
        assert_eq!(folder.path().join("shipper-1.log.old").metadata().unwrap().len(), MAX_BYTES + 1);
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shipper-1.log");
        assert!(tail(&path, 2).contains("can't be read"));
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert!(tail(&path, 2).ends_with("shipper-1.log:\n  two\n  three"));
    }
}
