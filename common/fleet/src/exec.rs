//! A command in a container that runs.

use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt;
use tokio::time::sleep;

use crate::{Error, Machine};

/// The longest line that is kept, in bytes.
const LINE_LIMIT: usize = 500;
/// Between two looks whether Docker has noted the end of a command whose output has ended.
const AGAIN: Duration = Duration::from_millis(10);

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exited {
    /// Its code.
    pub code: i64,
    /// The last line that it wrote.
    pub last_line: Option<String>,
}

impl Machine {
    /// Runs a command in a container, as the container's user and with its environment, to its end. Docker can't end one: a
    /// command that is given up runs on in its container.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached; a container that doesn't run.
    pub async fn exec(&self, container: &str, command: &[String]) -> Result<Exited, Error> {
        let docker = self.docker().await?;
        let failed = || self.host().docker_failed(format!("running {} in {container}", command.join(" ")));
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..CreateExecOptions::default()
        };
        let id = docker.create_exec(container, options).await.map_err(failed())?.id;
        let mut last = LastLine::default();
        // Attached, as nothing else was asked for.
        if let StartExecResults::Attached { mut output, .. } =
            docker.start_exec(&id, None).await.map_err(failed())?
        {
            while let Some(part) = output.next().await {
                last.take(&part.map_err(failed())?.into_bytes());
            }
        }
        loop {
            if let Some(code) = docker.inspect_exec(&id).await.map_err(failed())?.exit_code {
                return Ok(Exited { code, last_line: last.line() });
            }
            sleep(AGAIN).await;
        }
    }
}

/// The last line of some output.
#[derive(Default)]
struct LastLine {
    before: Vec<u8>,
    current: Vec<u8>,
}

impl LastLine {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                if self.current.len() < LINE_LIMIT {
                    self.current.push(*byte);
                }
            } else if !self.current.trim_ascii().is_empty() {
                self.before = std::mem::take(&mut self.current);
            } else {
                self.current.clear();
            }
        }
    }

    fn line(self) -> Option<String> {
        let is_said = |line: &Vec<u8>| !line.trim_ascii().is_empty();
        let line = Some(self.current).filter(is_said).or(Some(self.before).filter(is_said))?;
        Some(String::from_utf8_lossy(line.trim_ascii()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something_is_kept() {
        let last = |parts: &[&str]| {
            let mut last = LastLine::default();
            parts.iter().for_each(|part| last.take(part.as_bytes()));
            last.line()
        };
        assert_eq!(last(&["one\ntw", "o\n", "\n  \n"]).as_deref(), Some("two"));
        assert_eq!(last(&["one\ntwo"]).as_deref(), Some("two"));
        assert_eq!(last(&["", "\n"]), None);
        assert_eq!(last(&["x".repeat(1000).as_str()]).map(|line| line.len()), Some(LINE_LIMIT));
    }
}
