//! The folder of migrations, as a release pins it.

use std::path::Path;

use cutover_core::{Digest, MigrationFile};
use cutover_store::Store;
use tokio::fs;

use crate::error::Error;

/// The migrations in `folder`, in their order: files `<digits>_<name>.sql`. What doesn't end in `.sql` is no migration.
/// With a store, their content is put there.
///
/// # Errors
/// A folder or a file that can't be read, a name that says no place in the order, or two that say the same.
pub(crate) async fn read(folder: &Path, store: Option<&Store>) -> anyhow::Result<Vec<MigrationFile>> {
    let mut entries = fs::read_dir(folder).await.map_err(Error::io("list the migrations in", folder))?;
    let mut migrations: Vec<(u128, MigrationFile)> = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(Error::io("list the migrations in", folder))? {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "sql") || path.is_dir() {
            continue;
        }
        let (number, version, name) = parts(&path).ok_or_else(|| Error::NotAMigration(path.clone()))?;
        let content = fs::read(&path).await.map_err(Error::io("read", &path))?;
        let content = match store {
            Some(store) => store.put_bytes(&content).await?,
            None => Digest::of(&content),
        };
        migrations.push((number, MigrationFile::expand(version, name, content)));
    }
    migrations.sort_by(|one, other| (one.0, &one.1.name).cmp(&(other.0, &other.1.name)));
    for pair in migrations.windows(2) {
        if let [(one, first), (other, second)] = pair
            && one == other
        {
            return Err(Error::SameNumber { first: title(first), second: title(second) }.into());
        }
    }
    Ok(migrations.into_iter().map(|(_, migration)| migration).collect())
}

/// A migration in front of people.
pub(crate) fn title(migration: &MigrationFile) -> String {
    format!("{}_{}", migration.version, migration.name)
}

/// The number, the digits as written, and the name.
fn parts(path: &Path) -> Option<(u128, String, String)> {
    let (digits, name) = path.file_stem()?.to_str()?.split_once('_')?;
    let written = !name.is_empty() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    written.then_some(())?;
    Some((digits.parse().ok()?, digits.to_owned(), name.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn titles(files: &[&str]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), *file).unwrap();
        }
        let read = read(folder.path(), None).await.map_err(|error| error.to_string())?;
        Ok(read.iter().map(title).collect())
    }

    #[tokio::test]
    async fn they_come_in_the_order_of_their_numbers() {
        let files = ["10_c.sql", "9_b.sql", "0001_a.sql", "README.md"];
        assert_eq!(titles(&files).await.unwrap(), ["0001_a", "9_b", "10_c"]);
    }

    #[tokio::test]
    async fn a_name_without_a_place_in_the_order_is_refused() {
        for file in ["users.sql", "1.sql", "1_.sql", "a1_users.sql", "1-users.sql"] {
            assert!(titles(&[file]).await.unwrap_err().contains(file), "{file}");
        }
        assert!(titles(&["1_a.sql", "01_b.sql"]).await.unwrap_err().contains("1_a and 01_b"));
    }

    #[tokio::test]
    async fn the_store_has_their_content() {
        let (folder, at) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("1_a.sql"), "select 1").unwrap();
        let store = Store::open(at.path()).await.unwrap();
        let migrations = read(folder.path(), Some(&store)).await.unwrap();
        assert!(store.contains(&Digest::of(b"select 1")).await.unwrap());
        assert_eq!(migrations, super::read(folder.path(), None).await.unwrap());
    }
}
