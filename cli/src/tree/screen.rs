//! Lines that are drawn again in place, without flicker: up to the first one, each overwritten, the rest cleared.

use std::io::{self, Write};

use crossterm::cursor::{Hide, MoveToColumn, MoveUp, Show};
use crossterm::queue;
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
};

/// The part of the terminal that is drawn on. The cursor is hidden while it lives, and comes back however it ends.
#[derive(Debug)]
pub(crate) struct Screen {
    drawn: u16,
}

impl Screen {
    /// Begins at the line of the cursor.
    ///
    /// # Errors
    /// A terminal that can't be written.
    pub(crate) fn new() -> io::Result<Self> {
        let mut out = io::stdout().lock();
        queue!(out, Hide, DisableLineWrap)?;
        out.flush()?;
        Ok(Self { drawn: 0 })
    }

    /// Draws the lines over those that were drawn before. Of more than fit into `rows`, the head and the end are shown: what
    /// has left the screen can't be drawn again.
    ///
    /// # Errors
    /// A terminal that can't be written.
    pub(crate) fn draw(&mut self, lines: &[String], rows: usize) -> io::Result<()> {
        let room = rows.saturating_sub(1).max(1);
        let head = room.min(2);
        let hidden = lines.len().saturating_sub(room);
        let shown = lines.iter().take(head).chain(lines.iter().skip(head + hidden));
        self.print(shown)
    }

    /// Draws all lines for the last time, whatever fits.
    ///
    /// # Errors
    /// A terminal that can't be written.
    pub(crate) fn finish(mut self, lines: &[String]) -> io::Result<()> {
        self.print(lines.iter())
    }

    fn print<'a>(&mut self, lines: impl Iterator<Item = &'a String>) -> io::Result<()> {
        // One write: half a picture is never seen.
        let mut picture = Vec::new();
        queue!(picture, BeginSynchronizedUpdate)?;
        if self.drawn > 0 {
            queue!(picture, MoveUp(self.drawn))?;
        }
        queue!(picture, MoveToColumn(0))?;
        self.drawn = 0;
        for line in lines {
            queue!(picture, Print(line), Clear(ClearType::UntilNewLine), Print("\r\n"))?;
            self.drawn = self.drawn.saturating_add(1);
        }
        queue!(picture, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        let mut out = io::stdout().lock();
        out.write_all(&picture)?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        // Nothing is left to be done about a terminal that is gone.
        let _ = queue!(out, EnableLineWrap, Show).and_then(|()| out.flush());
    }
}
