use std::process::ExitCode;

/// What has to be so.
#[derive(Debug, Default)]
pub(crate) struct Goals {
    met: usize,
    missed: Vec<String>,
}

impl Goals {
    pub(crate) fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if holds {
            self.met += 1;
        } else {
            self.missed.push(what());
        }
    }

    pub(crate) fn tell(&self) -> ExitCode {
        println!("\n{} goals met, {} missed", self.met, self.missed.len());
        for missed in &self.missed {
            println!("  missed: {missed}");
        }
        if self.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
