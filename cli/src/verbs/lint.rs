//! `cutover lint`: what the migrations of a folder would do to those who use the database.

use cutover_core::MigrationSource;

use crate::args::{Global, Lint};
use crate::console::Console;
use crate::danger::{self, Classified};
use crate::exit::Exit;
use crate::migrations;
use crate::project::Project;

pub(super) async fn run(options: &Global, args: Lint, console: Console) -> anyhow::Result<Exit> {
    let (folder, engine) = if let Some(folder) = args.folder {
        (folder, args.engine.unwrap_or_default())
    } else {
        let project = Project::open(options)?;
        let folder = match &project.target.migrations {
            Some(MigrationSource::Folder(folder)) => folder,
            Some(MigrationSource::Rails(_)) => {
                console.note("the migrations are those of Rails, whose SQL isn't known before they run");
                return Ok(Exit::Ok);
            }
            None => {
                console.note("the deploy file names no migrations");
                return Ok(Exit::Ok);
            }
        };
        (project.folder().join(folder), args.engine.unwrap_or(project.target.settings.engine))
    };
    let migrations = migrations::read(&folder, engine, None).await?;
    for verdict in &migrations.verdicts {
        if console.json {
            console.object(&Classified::of(verdict))?;
        } else if !verdict.findings.is_empty() {
            console.line(verdict)?;
        }
    }
    danger::refuse(&migrations.verdicts)?;
    let (all, told) = (
        migrations.verdicts.len(),
        migrations.verdicts.iter().filter(|verdict| !verdict.findings.is_empty()).count(),
    );
    console.note(format_args!("{all} statements: none is refused, {told} are told of"));
    Ok(Exit::Ok)
}
