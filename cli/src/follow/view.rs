//! The form in which a deployment is followed.

use cutover_core::{Deployment, Outcome, Program, Service, Timestamp};
use serde::Serialize;

use super::changes::changes;
use crate::console::Console;
use crate::exit::Exit;
use crate::tree::{Look, Screen, Tree, ended, render, render_whole};

/// Where a deployment is shown, and what was shown of it.
pub(super) struct View {
    console: Console,
    form: Form,
}

enum Form {
    /// A tree that is drawn again and again.
    Tree { screen: Screen, frame: usize },
    /// A line for each change; as JSON where the console says so.
    Lines { shown: Option<Box<Deployment>>, waits: Vec<Program> },
    /// Nothing but the end.
    End,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct EndLine<'a> {
    deployment: &'a cutover_core::DeploymentId,
    outcome: Outcome,
    live: Option<&'a cutover_core::ReleaseId>,
    text: &'a str,
    notes: &'a [String],
    exit: u8,
}

impl View {
    pub(super) fn new(console: Console) -> std::io::Result<Self> {
        let form = if console.json {
            Form::Lines { shown: None, waits: Vec::new() }
        } else if console.quiet {
            Form::End
        } else if console.terminal {
            Form::Tree { screen: Screen::new()?, frame: 0 }
        } else {
            Form::Lines { shown: None, waits: Vec::new() }
        };
        Ok(Self { console, form })
    }

    /// Whether it changes with the time alone.
    pub(super) const fn moves(&self) -> bool {
        matches!(self.form, Form::Tree { .. })
    }

    /// Shows how the service's deployment stands.
    pub(super) fn show(
        &mut self,
        service: &Service,
        now: Timestamp,
        missing: &[Program],
    ) -> std::io::Result<()> {
        let (columns, rows) = self.console.size();
        match &mut self.form {
            Form::Tree { screen, frame } => {
                *frame += 1;
                let look = Look { width: columns, colour: self.console.colour, frame: *frame / 2 };
                match Tree::of(service, now, missing) {
                    Some(tree) => screen.draw(&render(&tree, &look), rows),
                    None => Ok(()),
                }
            }
            Form::Lines { shown, waits } => {
                let Some(current) = &service.current else { return Ok(()) };
                for change in changes(shown.as_deref(), current) {
                    if self.console.json {
                        self.console.object(&change)?;
                    } else if !change.is_progress() || self.console.verbose {
                        self.console.line(&change)?;
                    }
                }
                *shown = Some(Box::new(current.clone()));
                if waits != missing {
                    missing.iter().for_each(|program| {
                        self.console.note(format_args!("waits: no {program} is running"))
                    });
                    *waits = missing.to_vec();
                }
                Ok(())
            }
            Form::End => Ok(()),
        }
    }

    /// Shows the end.
    pub(super) fn finish(mut self, service: &Service) -> std::io::Result<()> {
        if !self.moves() {
            self.show(service, Timestamp::default(), &[])?;
            let Some(current) = &service.current else { return Ok(()) };
            let Some(outcome) = current.outcome() else { return Ok(()) };
            let ending = ended(service, current, outcome);
            if self.console.json {
                return self.console.object(&EndLine {
                    deployment: current.id(),
                    outcome,
                    live: service.live().map(|live| &live.id),
                    text: &ending.text,
                    notes: &ending.notes,
                    exit: Exit::from(outcome).code(),
                });
            }
            self.console.line(&ending.text)?;
            return ending.notes.iter().try_for_each(|note| self.console.line(format_args!("  {note}")));
        }
        self.leave(service)
    }

    /// Draws the picture for the last time, and gives the terminal back.
    pub(super) fn leave(self, service: &Service) -> std::io::Result<()> {
        let (columns, _) = self.console.size();
        let Form::Tree { screen, frame } = self.form else { return Ok(()) };
        let look = Look { width: columns, colour: self.console.colour, frame };
        match Tree::of(service, crate::clock::now(), &[]) {
            Some(tree) => screen.finish(&render_whole(&tree, &look)),
            None => Ok(()),
        }
    }
}
