use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The first executable file of this name in `PATH`.
pub(super) fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// The executable file of this name in the folder of another.
pub(super) fn beside(other: &Path, name: &str) -> Option<PathBuf> {
    Some(other.with_file_name(name)).filter(|file| is_executable(file))
}

/// Whether this is a file that somebody may execute.
pub(super) fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_executed_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let cutover = folder.path().join("cutover");
        std::fs::write(folder.path().join("cutover-shipper"), "").unwrap();
        assert_eq!(beside(&cutover, "cutover-shipper"), None);
        assert_eq!(in_path("sh").map(|file| is_executable(&file)), Some(true));
    }
}
