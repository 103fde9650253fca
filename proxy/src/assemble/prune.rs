//! Versions that nothing needs any more.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cutover_model::{Answer, Pruning, Sum};

use super::error::{Trouble, failed};
use super::place::{MANIFEST, PART, below, names};

/// What stands behind the sum of a version that is being removed.
const GONE: &str = ".gone";

/// Removes the versions of all models in a folder but those that are kept, and what was left of any that never became whole.
pub(super) fn prune(root: &Path, call: &Pruning) -> Result<Answer, Trouble> {
    let folder = below(root, &call.folder)?;
    let kept: HashSet<(&str, Sum)> =
        call.kept.iter().map(|(model, version)| (model.as_str(), *version)).collect();
    let mut removed = 0;
    for model in names(&folder).map_err(failed("listing", &folder))? {
        let versions = folder.join(&model);
        removed += prune_model(&versions, |version| kept.contains(&(model.as_str(), version)))
            .map_err(failed("removing versions in", &versions))?;
        // One that has versions stays.
        let _ = fs::remove_dir(&versions);
    }
    Ok(Answer::Pruned { removed })
}

fn prune_model(folder: &Path, is_kept: impl Fn(Sum) -> bool) -> io::Result<u32> {
    let mut removed = 0;
    for name in names(folder)? {
        let stem = [PART, MANIFEST, GONE].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        // What has another name is nobody's here.
        let Ok(version) = stem.parse::<Sum>() else { continue };
        let path = folder.join(&name);
        if is_kept(version) && !name.ends_with(GONE) {
            continue;
        }
        if name.ends_with(MANIFEST) {
            fs::remove_file(&path)?;
            continue;
        }
        if name == stem {
            // Nobody takes a half of it for all.
            let gone = folder.join(format!("{stem}{GONE}"));
            fs::rename(&path, &gone)?;
            remove(&gone)?;
            removed += 1;
        } else {
            remove(&path)?;
        }
    }
    Ok(removed)
}

/// Removes a folder whose folders are closed to changes.
fn remove(folder: &Path) -> io::Result<()> {
    open(folder)?;
    fs::remove_dir_all(folder)
}

fn open(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open(&entry.path())?;
        }
    }
    Ok(())
}
