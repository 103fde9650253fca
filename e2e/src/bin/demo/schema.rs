//! The application's database: where it is, and the migrations of its versions.

use cutover_e2e::App;

use crate::scene::Scene;

/// A migration: file name and SQL.
type Migration = (&'static str, &'static str);

const MIGRATIONS: [Migration; 3] = [
    ("001_notes.sql", "CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);\n"),
    ("002_note_author.sql", "ALTER TABLE notes ADD COLUMN author text;\n"),
    ("003_note_written.sql", "ALTER TABLE notes ADD COLUMN written timestamptz;\n"),
];

/// The version with the first so many migrations.
pub(crate) fn migrated(scene: &Scene, version: &str, migrations: usize) -> App {
    App {
        database: Some(format!("file://{}", address_file(scene).display())),
        migrations: MIGRATIONS.into_iter().take(migrations).collect(),
        ..scene.app(version)
    }
}

/// Writes the database's address where the deploy file's reference looks for it.
pub(crate) fn locate(scene: &Scene, url: &str) -> anyhow::Result<()> {
    Ok(std::fs::write(address_file(scene), url)?)
}

fn address_file(scene: &Scene) -> std::path::PathBuf {
    scene.project.folder().join("database-url")
}
