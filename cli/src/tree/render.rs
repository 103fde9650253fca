//! From rows to lines of text that fit.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use cutover_core::Failure;

use super::model::{Mark, Row, Tree};
use crate::clock;
use crate::exit::Exit;

/// Lines of a failure's tail that are shown while the picture still changes.
const TAIL: usize = 12;
/// The indent of what is said of a row.
const INDENT: usize = 8;
/// Columns of marks' indents and labels at least, so that they stay where they are while hosts come and go.
const LABELS: usize = 19;
/// The least width that is wrapped to: below it, nothing could be read.
const NARROW: usize = 20;
const SPINNER: [&str; 4] = ["◐", "◓", "◑", "◒"];

/// How lines are to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Columns.
    pub(crate) width: usize,
    /// Whether there may be colours.
    pub(crate) colour: bool,
    /// Which picture of the spinner.
    pub(crate) frame: usize,
}

/// Colours by meaning, as SGR parameters (ECMA-48, 8.3.117).
#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Busy,
    Odd,
    Bad,
}

/// The lines of a tree, each at most `look.width` columns wide.
pub(crate) fn render(tree: &Tree, look: &Look) -> Vec<String> {
    drawn(tree, look, TAIL)
}

/// The same for good: all that was kept of what a failed step has printed.
pub(crate) fn render_whole(tree: &Tree, look: &Look) -> Vec<String> {
    drawn(tree, look, usize::MAX)
}

fn drawn(tree: &Tree, look: &Look, tail: usize) -> Vec<String> {
    let mut lines = vec![
        look.line(0, &tree.title, Tone::Strong),
        look.line(0, &tree.subtitle, Tone::Faint),
        String::new(),
    ];
    let labels = tree.rows.iter().map(|row| indent(row) + row.label.width()).fold(LABELS, usize::max);
    for row in &tree.rows {
        lines.push(look.row(row, labels));
        if let Some(failure) = &row.failure {
            look.failure(failure, tail, &mut lines);
        }
    }
    if let Some(ending) = &tree.ending {
        let tone = match Exit::from(ending.outcome) {
            Exit::Ok => Tone::Good,
            Exit::Aborted => Tone::Odd,
            _ => Tone::Bad,
        };
        lines.push(String::new());
        lines.extend(look.wrapped(0, &ending.text, tone));
        for note in &ending.notes {
            lines.extend(look.wrapped(2, note, Tone::Plain));
        }
    }
    lines
}

/// Columns before a row's mark.
const fn indent(row: &Row) -> usize {
    if row.is_host { 4 } else { 2 }
}

impl Look {
    fn row(&self, row: &Row, labels: usize) -> String {
        let (mark, tone) = match row.mark {
            Mark::Waiting => ("·", Tone::Faint),
            Mark::Running => (SPINNER.get(self.frame % SPINNER.len()).copied().unwrap_or("◐"), Tone::Busy),
            Mark::Again => ("↻", Tone::Odd),
            Mark::Done => ("✓", Tone::Good),
            Mark::Failed => ("✗", Tone::Bad),
            Mark::TakenBack => ("↩", Tone::Odd),
        };
        let before = indent(row);
        let label = format!("{:<1$}", row.label, labels.saturating_sub(before));
        let elapsed = row.elapsed.map(clock::duration).unwrap_or_default();
        let rest = format!("{label}  {elapsed:>7}   {}", row.facts);
        let text = if row.mark == Mark::Waiting { Tone::Faint } else { Tone::Plain };
        let rest = self.painted(cut(rest.trim_end(), self.width.saturating_sub(before + 2)), text);
        format!("{:before$}{} {rest}", "", self.painted(mark, tone))
    }

    fn failure(&self, failure: &Failure, tail: usize, lines: &mut Vec<String>) {
        lines.extend(self.wrapped(INDENT, &failure.message, Tone::Bad));
        if let Some(hint) = &failure.hint {
            lines.extend(self.wrapped(INDENT, &format!("hint: {hint}"), Tone::Plain));
        }
        let left_out = failure.tail.len().saturating_sub(tail);
        for line in failure.tail.iter().skip(left_out) {
            lines.push(self.line(INDENT, &format!("│ {line}"), Tone::Faint));
        }
    }

    /// A line that is cut where it doesn't fit.
    fn line(&self, indent: usize, text: &str, tone: Tone) -> String {
        format!("{:indent$}{}", "", self.painted(cut(text, self.width.saturating_sub(indent)), tone))
    }

    /// As many lines as the text needs, broken at spaces.
    fn wrapped(&self, indent: usize, text: &str, tone: Tone) -> Vec<String> {
        let width = self.width.saturating_sub(indent).max(NARROW);
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(last) if last.width() + 1 + word.width() <= width => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines.iter().map(|line| self.line(indent, line, tone)).collect()
    }

    fn painted(&self, text: &str, tone: Tone) -> String {
        let code = match tone {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Busy => "36",
            Tone::Odd => "33",
            Tone::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The beginning of the text that fits into so many columns.
pub(crate) fn cut(text: &str, width: usize) -> &str {
    let mut columns = 0;
    let end = text.char_indices().find_map(|(index, character)| {
        columns += character.width().unwrap_or(0);
        (columns > width).then_some(index)
    });
    text.split_at(end.unwrap_or(text.len())).0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::Stage;

    use super::*;
    use crate::fixture::{Transcript, task};

    #[test]
    fn the_last_picture_has_all_that_a_failed_step_printed() {
        let printed: Vec<String> = (1..=60).map(|n| format!("output {n}")).collect();
        let failure = Failure::lasting("build step [2/2] RUN make failed").tail(printed);
        let build = task(Stage::Build, 0);
        let transcript = Transcript::deploying_v2(1).claim(&build).fail(&build, failure);
        let tree = Tree::of(&transcript.service, transcript.now(), &[]).unwrap();
        let look = Look { width: 80, colour: false, frame: 0 };
        let count = |lines: Vec<String>| lines.iter().filter(|line| line.contains("│ output")).count();
        assert_eq!((count(render(&tree, &look)), count(render_whole(&tree, &look))), (TAIL, 60));
    }
}
