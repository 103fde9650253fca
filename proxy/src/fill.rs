//! Files of one folder beside those of another: how the assets of two versions come to lie in one place.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

/// What a file is called until it is there whole.
const PART: &str = ".cutover-part";

/// A file that could not be copied.
#[derive(Debug, thiserror::Error)]
#[error("copying {}", path.display())]
pub struct NotFilled {
    /// The file.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

/// Copies into `to` all folders, files and symbolic links of `from` that it lacks, with their owners and permissions. What is
/// there already stays as it is, and no link is followed. Answers with the number of files.
///
/// # Errors
/// A file that can't be read or written; what was copied before is there, and the rest is copied by the next attempt.
pub fn fill(from: &Path, to: &Path) -> Result<u64, NotFilled> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| NotFilled { path, source }
    };
    let mut copied = 0;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata().map_err(failed(&source))?;
        let there = match fs::symlink_metadata(&target) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&target)(error)),
        };
        if metadata.is_dir() {
            if there.is_none() {
                fs::create_dir(&target).and_then(|()| own(&target, &metadata)).map_err(failed(&target))?;
            }
            if there.is_none_or(|there| there.is_dir()) {
                copied += fill(&source, &target)?;
            }
        } else if there.is_none() {
            copy(&source, &target, &metadata).map_err(failed(&source))?;
            copied += 1;
        }
    }
    Ok(copied)
}

/// Nobody sees a part of a file under its name.
fn copy(source: &Path, target: &Path, metadata: &Metadata) -> io::Result<()> {
    if metadata.is_symlink() {
        return symlink(fs::read_link(source)?, target);
    }
    if !metadata.is_file() {
        return Ok(());
    }
    let mut part = target.as_os_str().to_owned();
    part.push(PART);
    fs::copy(source, &part)?;
    own(Path::new(&part), metadata)?;
    fs::rename(&part, target)
}

/// Gives it the owner and the permissions that another has.
fn own(path: &Path, as_of: &Metadata) -> io::Result<()> {
    chown(path, Some(as_of.uid()), Some(as_of.gid()))?;
    fs::set_permissions(path, as_of.permissions())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_lacking_is_copied_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::create_dir_all(old.join("images")).unwrap();
        fs::create_dir_all(new.join("fonts")).unwrap();
        for (file, text) in [("app-1.css", "one"), ("manifest.json", "old"), ("images/logo-1.svg", "logo")] {
            fs::write(old.join(file), text).unwrap();
        }
        fs::set_permissions(old.join("app-1.css"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("app-1.css", old.join("app.css")).unwrap();
        symlink("/etc", old.join("fonts")).unwrap();
        symlink("nowhere", new.join("images")).unwrap();
        fs::write(new.join("manifest.json"), "new").unwrap();

        assert_eq!(fill(&old, &new).unwrap(), 2);
        let text = |file: &str| fs::read_to_string(new.join(file)).unwrap();
        assert_eq!(
            (text("app-1.css"), text("app.css"), text("manifest.json")),
            ("one".into(), "one".into(), "new".into())
        );
        assert_eq!(fs::metadata(new.join("app-1.css")).unwrap().mode() & 0o777, 0o640);
        // Neither the one folder nor the other is left by way of a link.
        assert_eq!(fs::read_link(new.join("images")).unwrap(), Path::new("nowhere"));
        assert_eq!(fs::read_dir(new.join("fonts")).unwrap().count(), 0);
        assert_eq!(fill(&old, &new).unwrap(), 0);
        assert!(fill(&folder.path().join("absent"), &new).is_err());
    }
}
