//! Each program is killed in the middle of its work.

use anyhow::ensure;
use cutover_core::{Outcome, Stage};
use cutover_e2e::App;
use cutover_e2e::claim::claims;

use crate::blow::{Blow, Moment};
use crate::scene::{Scene, aside, exit_code, say};
use crate::schema;

const VERSION: &str = "v7";

/// One for each program, in the order of the pipeline.
const BLOWS: [Blow; 5] = [
    Blow { stage: Stage::Build, moment: Moment::AtWork },
    Blow { stage: Stage::Ship, moment: Moment::AtWork },
    Blow { stage: Stage::Expand, moment: Moment::Done },
    Blow { stage: Stage::Probe, moment: Moment::AtWork },
    Blow { stage: Stage::Switch, moment: Moment::Done },
];

/// Mebibytes that there are to send, so that somebody can be killed in the middle of it.
const PAYLOAD: u32 = 100;

pub(crate) async fn each_program(scene: &mut Scene) -> anyhow::Result<()> {
    say(
        "A seventh version, with a migration and 100 MB to send. In this one deployment each of the five programs is killed; \
         another process takes its task over once it has been silent for 8 s",
    );
    let app = schema::migrated(scene, VERSION, 3);
    let env = vec![("READY_AFTER", "3s".into())];
    scene.project.write(&App { env, payload: PAYLOAD, ready: "20s", ..app })?;
    let deploy = scene.start(&["deploy", "production", "--version", VERSION])?;
    let mut killed = Vec::new();
    for blow in BLOWS {
        let (program, stage) = (blow.stage.program(), blow.stage);
        let pid = blow.strike(scene, VERSION).await?;
        aside(&format!("SIGKILL: the {program} that has the {stage}, pid {pid}, {}", blow.moment.words()));
        killed.push(format!("{program} {pid}"));
    }
    let ended = deploy.ended().await?;
    ensure!(ended.code == Some(exit_code(Outcome::Live)), "the command exited with {:?}", ended.code);
    let note = format!("SIGKILL to {}; each task was taken over", killed.join(", "));
    let deployment = scene.write_down("five programs killed", Outcome::Live, Some(note)).await?;
    for Blow { stage, .. } in BLOWS {
        ensure!(
            claims(&deployment, stage) > 1,
            "nobody took over the {stage} of the program that was killed"
        );
    }
    scene.until_served_by(VERSION).await
}
