//! The folder of migrations, as a release pins it.

use std::path::Path;

use cutover_context::inside;
use cutover_core::{Digest, Engine, MigrationFile, Override};
use cutover_migration::lint::{Script, Verdict, lint};
use cutover_migration::{Compiled, FileName, Form, InvalidMigration, Kind, Migration, Migrations};
use cutover_store::Store;
use tokio::fs;

use crate::error::Error;

/// Migrations, and what their statements do to those who use the database.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// The files, in their order.
    pub(crate) files: Vec<MigrationFile>,
    /// The statements, in theirs.
    pub(crate) verdicts: Vec<Verdict>,
}

/// The migrations in `folder`; each is read as the migrator will read it. With a store, their content is put there.
///
/// # Errors
/// A folder or a file that can't be read, a link that leads out of the folder, or a file that can't be run as a migration.
pub(crate) async fn read(folder: &Path, engine: Engine, store: Option<&Store>) -> anyhow::Result<Folder> {
    let (mut read, mut all) = (Vec::new(), Vec::new());
    for (title, name) in names(folder).await? {
        let path = folder.join(&title);
        let inside = inside(folder, &path)?.unwrap_or_else(|| path.clone());
        let content = fs::read(inside).await.map_err(Error::io("read", &path))?;
        let text =
            String::from_utf8(content).map_err(|_| InvalidMigration::Encoding { file: title.clone() })?;
        for (file, sql) in written(&title, &name, text, engine)? {
            let parts = Migration::read(&file, &sql, engine)?;
            let first =
                |part: &Migration| matches!(part.kind(), Kind::Backfill(backfill) if backfill.before_switch);
            if let Some(part) = parts.first() {
                let before_switch = first(part);
                let file = MigrationFile { before_switch, ..file };
                // Lines of what is written from operations aren't those of the file.
                let shown = file.declared.as_ref().map(|_| format!("{title} ({})", file.phase.as_str()));
                let script = Script {
                    file: shown.unwrap_or_else(|| title.clone()),
                    contract: format!("{}_{}.contract.sql", name.version, name.name),
                    version: name.version.clone(),
                    phase: file.phase,
                    sql: sql.clone(),
                    declared: file.declared.is_some(),
                };
                read.push((part.version(), part.phase(), file, script));
            }
            all.extend(parts);
            if let Some(store) = store {
                store.put_bytes(sql.as_bytes()).await?;
            }
        }
    }
    Migrations::new(all)?;
    // What a version's contract says is known in the expand phase of the next.
    read.sort_by_key(|(version, phase, ..)| (*version, *phase));
    let (mut files, scripts): (Vec<_>, Vec<_>) =
        read.into_iter().map(|(_, _, file, script)| (file, script)).unzip();
    let verdicts = lint(&scripts, engine)?;
    for file in &mut files {
        file.overrides = overrides(file, &verdicts);
    }
    Ok(Folder { files, verdicts })
}

/// What overrides allow in a file.
fn overrides(file: &MigrationFile, verdicts: &[Verdict]) -> Vec<Override> {
    let own =
        verdicts.iter().filter(|verdict| verdict.version == file.version && verdict.phase == file.phase);
    let allowed = |verdict: &Verdict| {
        let line = verdict.line;
        let allow = verdict.findings.iter().filter_map(|finding| {
            let reason = finding.allowed.clone()?;
            Some(Override { line, rule: finding.rule.name().to_owned(), reason })
        });
        allow.collect::<Vec<_>>()
    };
    own.flat_map(allowed).collect()
}

/// The SQL of a file: what stands in it, or what is written from what it declares, phase by phase.
fn written(
    title: &str,
    name: &FileName,
    text: String,
    engine: Engine,
) -> anyhow::Result<Vec<(MigrationFile, String)>> {
    let file = |phase, sql: &str, declared| {
        let content = Digest::of(sql.as_bytes());
        MigrationFile { phase, declared, ..MigrationFile::expand(&name.version, &name.name, content) }
    };
    match name.form {
        Form::Sql(phase) => Ok(vec![(file(phase, &text, None), text)]),
        Form::Declaration => {
            let compiled = Compiled::read(&text, title, &name.version, engine)?;
            let declared = Digest::of(text.as_bytes());
            let phase = |(phase, sql): (_, &str)| (file(phase, sql, Some(declared.clone())), sql.to_owned());
            Ok(compiled.phases().map(phase).collect())
        }
    }
}

/// The files in `folder` that are migrations, and what their names say.
async fn names(folder: &Path) -> anyhow::Result<Vec<(String, FileName)>> {
    let mut entries = fs::read_dir(folder).await.map_err(Error::io("list the migrations in", folder))?;
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(Error::io("list the migrations in", folder))? {
        let file = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            continue;
        }
        let name =
            FileName::read(&file).map_err(|source| InvalidMigration::Name { file: file.clone(), source })?;
        names.extend(name.map(|name| (file, name)));
    }
    names.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report;

    const BACKFILL: &str =
        "-- cutover: table=a\n-- cutover: verify=b IS NULL\nUPDATE a SET b = 1 WHERE :batch AND b IS NULL;";

    async fn titles(files: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (file, sql) in files {
            std::fs::write(folder.path().join(file), *sql).unwrap();
        }
        let read = read(folder.path(), Engine::Postgresql, None).await?;
        Ok(read.files.iter().map(MigrationFile::title).collect())
    }

    #[tokio::test]
    async fn a_link_that_leads_out_of_the_folder_is_not_read() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = elsewhere.path().join("secret");
        std::fs::write(&secret, "SELECT 1").unwrap();
        std::fs::write(folder.path().join("1_a.sql"), "SELECT 1").unwrap();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
        link(Path::new("1_a.sql"), "2_b.sql");
        assert_eq!(read(folder.path(), Engine::Postgresql, None).await.unwrap().files.len(), 2);
        link(&secret, "3_c.sql");
        let said = format!("{:#}", read(folder.path(), Engine::Postgresql, None).await.err().unwrap());
        assert!(said.contains("3_c.sql") && said.contains("no link"), "{said}");
    }

    #[tokio::test]
    async fn they_come_in_the_order_of_their_numbers_and_phases() {
        let files = ["10_c.sql", "9_b.contract.sql", "9_b.sql", "0001_a.expand.sql", "README.md"];
        let mut files = files.map(|file| (file, "SELECT 1")).to_vec();
        files.push(("9_b.backfill.sql", BACKFILL));
        let expected = ["0001_a", "9_b", "9_b.backfill", "9_b.contract", "10_c"];
        assert_eq!(titles(&files).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_declared_becomes_the_sql_of_its_phases() {
        let folder = tempfile::tempdir().unwrap();
        let declared =
            "operations:\n  - rename_column: {table: users, column: name, to: full_name, type: text}\n";
        std::fs::write(folder.path().join("7_rename.yaml"), declared).unwrap();
        let read = read(folder.path(), Engine::Postgresql, None).await.unwrap();
        let titles: Vec<String> = read.files.iter().map(MigrationFile::title).collect();
        assert_eq!(titles, ["7_rename", "7_rename.backfill", "7_rename.contract"]);
        let told = read.verdicts.first().map(ToString::to_string);
        let first = "7_rename.yaml (expand):2: safe: ALTER TABLE users ADD COLUMN full_name text";
        assert_eq!(told.as_deref(), Some(first));
        assert!(read.files.iter().all(|file| file.declared == Some(Digest::of(declared.as_bytes()))));
    }

    #[tokio::test]
    async fn what_can_not_be_run_is_refused_with_its_file_before_anything_is_deployed() {
        for (file, sql, part) in [
            ("users.sql", "SELECT 1", "digits, _ and a name"),
            ("1_a.contrct.sql", "SELECT 1", "'contrct' is no phase"),
            ("1_a.sql", "SELECT 1;\nCOMMIT;", "line 2"),
            ("1_a.backfill.sql", "SELECT 1;", "cutover: table="),
            ("1_a.yaml", "operations:\n  - drop_colum: {}", "1_a.yaml:2:5"),
        ] {
            let error = titles(&[(file, sql)]).await.unwrap_err();
            let message = format!("{error:#}");
            let named = message.contains(file.rsplit_once('.').unwrap().0);
            assert!(named && message.contains(part), "{message}");
            assert_eq!(report::exit(&error), crate::exit::Exit::Usage);
        }
        let same = titles(&[("1_a.sql", "SELECT 1"), ("01_b.sql", "SELECT 1")]).await.unwrap_err();
        assert!(same.to_string().contains("01_b and 1_a"), "{same}");
    }

    #[tokio::test]
    async fn the_store_has_their_content() {
        let (folder, at) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("1_a.sql"), "select 1").unwrap();
        let store = Store::open(at.path()).await.unwrap();
        let migrations = read(folder.path(), Engine::Postgresql, Some(&store)).await.unwrap();
        assert!(store.contains(&Digest::of(b"select 1")).await.unwrap());
        let again = read(folder.path(), Engine::Postgresql, None).await.unwrap();
        assert_eq!(migrations.files, again.files);
    }

    #[tokio::test]
    async fn an_override_is_kept_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let sql = "-- cutover: allow=drop-table reason=\"nobody reads it\"\nDROP TABLE a;";
        std::fs::write(folder.path().join("1_a.sql"), sql).unwrap();
        std::fs::write(folder.path().join("1_a.contract.sql"), "DROP TABLE b;").unwrap();
        let read = read(folder.path(), Engine::Postgresql, None).await.unwrap();
        let [expand, contract] = read.files.as_slice() else { panic!("{read:?}") };
        let (rule, reason) = ("drop-table".to_owned(), "nobody reads it".to_owned());
        assert_eq!(expand.overrides, [Override { line: 2, rule, reason }]);
        assert!(contract.overrides.is_empty());
        assert_eq!(read.verdicts.iter().flat_map(Verdict::refused).count(), 0);
    }
}
