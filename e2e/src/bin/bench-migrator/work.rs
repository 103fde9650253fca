//! The migrations that are run.

use anyhow::Context;
use cutover_core::{Digest, Engine, Epoch, JournalId, MigrationFile, Phase};
use cutover_migration::{Migration, Migrations};
use cutover_migrator::{Limits, Progress, Step, Work, apply};
use cutover_secrets::Secret;
use tokio::sync::mpsc::unbounded_channel;

/// Runs one migration as a worker does. An error says how far it came.
pub(crate) async fn run(url: &str, engine: Engine, phase: Phase, sql: &str) -> anyhow::Result<()> {
    let file = MigrationFile { phase, ..MigrationFile::expand("1", "measured", Digest::of(sql.as_bytes())) };
    let work = Work {
        service: "bench".parse()?,
        engine,
        deployment: "01jd0000000000000000000000".parse()?,
        epoch: Epoch { journal: JournalId("bench".to_owned()), sequence: 1 },
        migrations: Migrations::new(Migration::read(&file, sql, engine)?)?,
    };
    let step = if phase.is_expand() { Step::Expand } else { Step::Backfill };
    let (progress, mut told) = unbounded_channel::<Progress>();
    let url = Secret::new(url.to_owned());
    let limits = Limits::default();
    let applied = Box::pin(apply(&url, step, &work, &limits, &progress)).await;
    drop(progress);
    let mut last = None;
    while let Some(progress) = told.recv().await {
        last = Some(progress);
    }
    applied.with_context(|| last.map_or_else(String::new, |last| last.to_string())).map(drop)
}
