//! Where words go: results to standard output, what is being done to standard error, one JSON object per line where asked.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::args::Global;

/// The width of lines where there is no terminal to ask, in columns.
const WIDTH: u16 = 80;
/// The height of a terminal that doesn't say, in rows.
const HEIGHT: u16 = 24;

/// What is said, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    /// One JSON object per line instead of words.
    pub(crate) json: bool,
    /// Nothing but results and errors.
    pub(crate) quiet: bool,
    /// More than usual.
    pub(crate) verbose: bool,
    /// Whether standard output is a terminal that can be drawn on.
    pub(crate) terminal: bool,
    /// Whether standard output may have colours.
    pub(crate) colour: bool,
}

impl Console {
    /// What the options and the terminal say. `NO_COLOR` is honoured (no-color.org: set and not empty).
    pub(crate) fn new(options: &Global) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = io::stdout().is_terminal() && !dumb;
        Self {
            json: options.json,
            quiet: options.quiet,
            verbose: options.verbose > 0,
            terminal,
            colour: terminal && !set("NO_COLOR"),
        }
    }

    /// A line of the result.
    ///
    /// # Errors
    /// Standard output that was closed.
    pub(crate) fn line(self, line: impl Display) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{line}")
    }

    /// An object of the result, on a line of its own.
    ///
    /// # Errors
    /// Standard output that was closed.
    pub(crate) fn object(self, object: &impl Serialize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, object)?;
        out.write_all(b"\n")
    }

    /// What is being done, for whoever watches. A standard error that was closed is no reason to stop.
    pub(crate) fn note(self, note: impl Display) {
        if !self.quiet && !self.json {
            let _ = writeln!(io::stderr().lock(), "{note}");
        }
    }

    /// Columns and rows of the terminal.
    pub(crate) fn size(self) -> (usize, usize) {
        let size = self.terminal.then(|| crossterm::terminal::size().ok()).flatten();
        let (columns, rows) =
            size.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((WIDTH, HEIGHT));
        (usize::from(columns), usize::from(rows))
    }
}
