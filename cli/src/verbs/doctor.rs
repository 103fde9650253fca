//! `cutover doctor`: looks at all that a deployment stands on.

use cutover_core::{Failure, Target};
use serde::Serialize;

use super::secrets;
use crate::args::{Doctor, Global};
use crate::console::Console;
use crate::doctor::{self, Finding, Grade, Part};
use crate::error::Error;
use crate::exit::Exit;
use crate::project;
use crate::session::Session;
use crate::tree::printable;

/// How many of each there were, as `--json` has it.
#[derive(Serialize)]
struct Sum {
    wrong: usize,
    advice: usize,
}

pub(super) async fn run(options: &Global, args: Doctor, console: Console) -> anyhow::Result<Exit> {
    let options = options.at(args.place);
    let mut told = Told { console, sum: Sum { wrong: 0, advice: 0 }, exit: Exit::Ok };
    let targets = match project::targets(&options) {
        Err(error) if matches!(error.downcast_ref(), Some(Error::NoDeployFile(_))) => {
            console.note("there is no deploy file here: only the control plane is looked at");
            Vec::new()
        }
        read => {
            let targets = read?;
            let count = targets.len();
            told.tell(Part::DeployFile.good(format!(
                "holds together, with {count} {}",
                if count == 1 { "destination" } else { "destinations" }
            )))?;
            targets
        }
    };
    let session = match Session::look(&options, console).await {
        Ok(session) => Some(session),
        Err(error) if matches!(error.downcast_ref(), Some(Error::NothingHere)) => {
            let nothing = "nothing was ever started on this machine".to_owned();
            told.tell(Part::Bus.advice(nothing, "cutover up, or the first cutover deploy, starts it"))?;
            None
        }
        Err(error) => {
            let fix =
                "is it running, and is NATS_URL right? Without NATS_URL, Cutover runs its own".to_owned();
            told.tell(Part::Bus.wrong(format!("{error:#}"), Some(fix)))?;
            None
        }
    };
    if let Some(session) = &session {
        doctor::control_plane(session).await.into_iter().try_for_each(|finding| told.tell(finding))?;
        for finding in of_secrets(session, &targets).await {
            told.tell(finding)?;
        }
    }
    for target in &targets {
        let journal = session.as_ref().map(|session| session.journal.id());
        for finding in Box::pin(doctor::destination(target, journal)).await? {
            told.tell(finding)?;
        }
    }
    told.end()
}

async fn of_secrets(session: &Session, targets: &[Target]) -> Vec<Finding> {
    match Box::pin(secrets::found(session, targets)).await {
        Ok(found) => found
            .into_iter()
            .map(|(destination, line, is_found)| match is_found {
                true => Part::Secrets.good(line).of(destination),
                false => Part::Secrets.wrong(line, Some("docs/secrets.md".to_owned())).of(destination),
            })
            .collect(),
        Err(error) => {
            let failure = Failure::lasting(format!("{error:#}"));
            vec![Part::Secrets.failed(failure)]
        }
    }
}

/// What was told so far.
struct Told {
    console: Console,
    sum: Sum,
    /// That of the first that is wrong.
    exit: Exit,
}

impl Told {
    fn tell(&mut self, finding: Finding) -> std::io::Result<()> {
        match finding.grade {
            Grade::Good => {}
            Grade::Advice => self.sum.advice += 1,
            Grade::Wrong => {
                self.sum.wrong += 1;
                if self.exit == Exit::Ok {
                    self.exit = finding.part.exit();
                }
            }
        }
        if self.console.json {
            self.console.object(&finding)
        } else if finding.grade == Grade::Good && self.console.quiet {
            Ok(())
        } else {
            let text = finding.to_string();
            text.lines().try_for_each(|line| self.console.line(printable(line)))
        }
    }

    fn end(self) -> anyhow::Result<Exit> {
        let Sum { wrong, advice } = self.sum;
        if self.console.json {
            self.console.object(&self.sum)?;
        } else if wrong == 0 && advice == 0 {
            self.console.line("all is well")?;
        } else {
            self.console.line(format_args!("{wrong} wrong, {advice} to look at"))?;
        }
        Ok(self.exit)
    }
}
