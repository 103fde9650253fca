//! Models in the file system.

use std::path::{Path, PathBuf};

use tokio::fs;

use crate::{Error, Result};

/// No model has folders that deep.
const DEEPEST: usize = 32;

/// A file of a model.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its name in the model.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
}

/// The files of a folder, or a single file. Links are followed; what is neither a file nor a folder is left out.
///
/// # Errors
/// What can't be read, and names that no manifest can have.
pub(crate) async fn list(path: &Path) -> Result<Vec<Listed>> {
    let found = fs::metadata(path).await.map_err(failed(path))?;
    if !found.is_dir() {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::Name { place: path.display().to_string() })?;
        return Ok(vec![Listed { name: name.to_owned(), path: path.to_owned(), size: found.len() }]);
    }
    let (mut files, mut folders) = (Vec::new(), vec![(String::new(), path.to_owned(), 0)]);
    while let Some((above, folder, depth)) = folders.pop() {
        if depth > DEEPEST {
            return Err(Error::Deep { place: folder.display().to_string(), depth });
        }
        let mut entries = fs::read_dir(&folder).await.map_err(failed(&folder))?;
        while let Some(entry) = entries.next_entry().await.map_err(failed(&folder))? {
            let path = entry.path();
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| Error::Name { place: path.display().to_string() })?;
            let name = if above.is_empty() { name } else { format!("{above}/{name}") };
            let found = fs::metadata(&path).await.map_err(failed(&path))?;
            if found.is_dir() {
                folders.push((name, path, depth + 1));
            } else if found.is_file() {
                files.push(Listed { name, path, size: found.len() });
            }
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

pub(crate) fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Read { place: path.display().to_string(), source }
}
