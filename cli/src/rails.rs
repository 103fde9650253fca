//! The migrations of a Rails application, as a release pins them, and what would run them beside Cutover.

use std::fs;
use std::path::{Path, PathBuf};

use cutover_context::inside;
use cutover_core::{Digest, MigrationFile};
use cutover_migration::{InvalidMigration, RailsFile};
use cutover_store::Store;

use crate::error::Error;

/// The folder of migrations that the version before tolerates.
const BEFORE: &str = "db/migrate";
/// The folder of those that it doesn't, by the convention of GitLab, Mastodon and Discourse.
const AFTER: &str = "db/post_migrate";
/// The script that a Rails application's image starts with, from Rails 7.1 on.
const ENTRYPOINT: &str = "bin/docker-entrypoint";
/// The tasks of Rails that migrate.
const TASKS: [&str; 2] = ["db:migrate", "db:prepare"];

/// The migrations of the application in `root`, which is in the build context `context`, in their order. With a store, their content
/// is put there.
///
/// # Errors
/// An application without any, a file that can't be read, leads out of the context, or whose name Rails would refuse, two of one
/// version.
pub(crate) async fn read(
    context: &Path,
    root: &Path,
    store: Option<&Store>,
) -> anyhow::Result<Vec<MigrationFile>> {
    let mut read = Vec::new();
    for (folder, is_post) in [(BEFORE, false), (AFTER, true)] {
        for path in files(&root.join(folder), is_post)? {
            let title = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            // One that leads nowhere is an error, as to Rails.
            let inside = inside(context, &path)?.unwrap_or_else(|| path.clone());
            let content = fs::read(inside).map_err(Error::io("read", &path))?;
            let text =
                String::from_utf8(content).map_err(|_| InvalidMigration::Encoding { file: title.clone() })?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let file = RailsFile::read(&name, &text, is_post)
                .map_err(|source| InvalidMigration::Name { file: title.clone(), source })?;
            let Some(RailsFile { version, name, phase }) = file else { continue };
            let content = Digest::of(text.as_bytes());
            if let Some(store) = store {
                store.put_bytes(text.as_bytes()).await?;
            }
            read.push((version, title, MigrationFile::of_phase(phase, version.to_string(), name, content)));
        }
    }
    read.sort_by(|(one, title, _), (other, of_other, _)| (one, title).cmp(&(other, of_other)));
    for pair in read.windows(2) {
        if let [(one, first, _), (other, second, _)] = pair
            && one == other
        {
            let (first, second) = (first.clone(), second.clone());
            return Err(InvalidMigration::SameVersion { first, second }.into());
        }
    }
    Ok(read.into_iter().map(|(_, _, file)| file).collect())
}

/// All files below a folder, which may be absent where it `may_be_absent`: Rails looks into folders of folders too, but not where a
/// link leads to one.
fn files(folder: &Path, may_be_absent: bool) -> anyhow::Result<Vec<PathBuf>> {
    if may_be_absent && !folder.exists() {
        return Ok(Vec::new());
    }
    let failed = || Error::io("list the migrations in", folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed())?);
        if kind.is_dir() {
            files.extend(self::files(&path, false)?);
        } else if !path.is_dir() {
            files.push(path);
        }
    }
    Ok(files)
}

/// Where the image, made of the context `context` with the application in `folder` and this Dockerfile, or the command in its place would have each replica run
/// the migrations by itself, as far as it can be seen from here.
pub(crate) fn run_by_replicas(
    context: &Path,
    folder: &Path,
    dockerfile: &str,
    command: &[String],
) -> Vec<String> {
    let in_command = TASKS.into_iter().find(|task| command.iter().any(|word| word.contains(task)));
    let own = in_command.map(|task| format!("command has {task}"));
    let starts = |line: &str| {
        let line = line.trim_start().to_ascii_uppercase();
        line.starts_with("CMD") || line.starts_with("ENTRYPOINT")
    };
    let in_dockerfile =
        find(dockerfile, starts).map(|(line, task)| format!("Dockerfile, line {line}: {task}"));
    let script = inside(context, &folder.join(ENTRYPOINT)).ok().flatten();
    let script = script.and_then(|script| fs::read_to_string(script).ok());
    let in_script = script
        .as_deref()
        .filter(|_| dockerfile.contains(ENTRYPOINT))
        .and_then(|text| find(text, |line| !line.trim_start().starts_with('#')))
        .map(|(line, task)| format!("{ENTRYPOINT}, line {line}: {task}"));
    let warn = |place: String| {
        format!(
            "{place}: each replica would run migrations by itself when it starts, without any limit of its locks; leave it \
             out, as they are run before"
        )
    };
    own.into_iter().chain(in_dockerfile).chain(in_script).map(warn).collect()
}

/// The first line, from 1, of those that count which has a task that migrates.
fn find(text: &str, counts: impl Fn(&str) -> bool) -> Option<(usize, &'static str)> {
    text.lines().zip(1..).filter(|(line, _)| counts(line)).find_map(|(line, number)| {
        let task = TASKS.into_iter().find(|task| line.contains(task))?;
        Some((number, task))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn application(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[tokio::test]
    async fn the_folders_say_what_is_applied_when() {
        let root = application(&[
            ("db/migrate/20260103000000_add_b.rb", "class AddB"),
            ("db/migrate/old/20260101000000_create.rb", "class Create"),
            ("db/migrate/20260104000000_drop_c.rb", "class DropC\n  tag :postdeploy\n"),
            ("db/migrate/README.md", ""),
            ("db/post_migrate/20260102000000_drop_a.rb", "class DropA"),
        ]);
        let store = tempfile::tempdir().unwrap();
        let store = Store::open(store.path()).await.unwrap();
        let files = read(root.path(), root.path(), Some(&store)).await.unwrap();
        let titles: Vec<String> = files.iter().map(MigrationFile::title).collect();
        let expected = [
            "20260101000000_create",
            "20260102000000_drop_a.contract",
            "20260103000000_add_b",
            "20260104000000_drop_c.contract",
        ];
        assert_eq!(titles, expected);
        assert!(store.contains(&Digest::of(b"class DropA")).await.unwrap());
    }

    #[tokio::test]
    async fn what_rails_would_refuse_is_refused() {
        let refused = async |files: &[(&str, &str)]| {
            let root = application(files);
            format!("{:#}", read(root.path(), root.path(), None).await.unwrap_err())
        };
        let same = refused(&[("db/migrate/1_a.rb", ""), ("db/post_migrate/001_b.rb", "")]).await;
        assert!(
            same.contains("db/migrate/1_a.rb and db/post_migrate/001_b.rb have the same version"),
            "{same}"
        );
        let name = refused(&[("db/migrate/1_A.rb", "")]).await;
        assert!(name.contains("db/migrate/1_A.rb"), "{name}");
        let none = refused(&[("db/schema.rb", "")]).await;
        assert!(none.contains("db/migrate"), "{none}");
    }

    #[tokio::test]
    async fn a_link_that_leads_out_of_the_context_is_not_read() {
        let (elsewhere, link) =
            (tempfile::tempdir().unwrap(), |to: &Path, at: PathBuf| std::os::unix::fs::symlink(to, at));
        let secret = elsewhere.path().join("1_secret.rb");
        fs::write(&secret, "db:migrate").unwrap();
        let root = application(&[("app/db/migrate/1_a.rb", "class A"), ("shared/2_b.rb", "class B")]);
        let (context, app) = (root.path(), root.path().join("app"));
        // Within the context a link may lead anywhere; a folder behind one isn't Rails'.
        link(&context.join("shared/2_b.rb"), app.join("db/migrate/2_b.rb")).unwrap();
        link(elsewhere.path(), app.join("db/migrate/more")).unwrap();
        assert_eq!(read(context, &app, None).await.unwrap().len(), 2);
        let refused = async || format!("{:#}", read(context, &app, None).await.unwrap_err());
        link(&secret, app.join("db/migrate/3_c.rb")).unwrap();
        let said = refused().await;
        assert!(said.contains("db/migrate/3_c.rb") && said.contains("no link"), "{said}");
        fs::remove_file(app.join("db/migrate/3_c.rb")).unwrap();
        link(elsewhere.path(), app.join("db/post_migrate")).unwrap();
        let said = refused().await;
        assert!(said.contains("db/post_migrate/1_secret.rb"), "{said}");

        fs::create_dir(app.join("bin")).unwrap();
        link(&secret, app.join(ENTRYPOINT)).unwrap();
        assert_eq!(
            run_by_replicas(context, &app, "FROM ruby\nENTRYPOINT [\"bin/docker-entrypoint\"]\n", &[]).len(),
            0
        );
    }

    #[test]
    fn replicas_that_would_migrate_by_themselves_are_found() {
        let script = "#!/bin/bash -e\n# db:prepare is for servers\nif true; then\n  ./bin/rails db:prepare\nfi\nexec \"${@}\"\n";
        let root = application(&[(ENTRYPOINT, script)]);
        let usual =
            "FROM ruby\nRUN bin/rails db:migrate:status\nENTRYPOINT [\"/rails/bin/docker-entrypoint\"]\n";
        let found = run_by_replicas(root.path(), root.path(), usual, &[]);
        assert!(
            matches!(found.as_slice(), [one] if one.starts_with("bin/docker-entrypoint, line 4: db:prepare")),
            "{found:?}"
        );
        let own = "FROM ruby\nCMD bin/rails db:migrate && bin/rails server\n";
        let found = run_by_replicas(
            root.path(),
            root.path(),
            own,
            &["sh".to_owned(), "bin/rails db:migrate".to_owned()],
        );
        assert!(found[0].starts_with("command has db:migrate"), "{found:?}");
        assert!(found[1].starts_with("Dockerfile, line 2: db:migrate"), "{found:?}");
        assert_eq!(
            run_by_replicas(root.path(), root.path(), "FROM ruby\nCMD [\"bin/rails\", \"server\"]\n", &[])
                .len(),
            0
        );
    }
}
