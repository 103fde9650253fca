//! Commands on a host and what they answer.

/// What a command has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code, or 128 + n where signal n ended it.
    pub status: u32,
    /// Its standard output, at most [`Output::LIMIT`] bytes of it.
    pub stdout: Vec<u8>,
    /// Its standard error, at most [`Output::LIMIT`] bytes of it.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The bytes of each stream that are kept; what a command says beyond them is read and dropped.
    pub const LIMIT: usize = 4 << 20;

    /// Whether the command exited with code 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// The last line of standard error, or else of standard output, that isn't blank: usually the reason of a failure.
    pub fn last_line(&self) -> String {
        let last = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .lines()
                .map(str::trim)
                .rfind(|line| !line.is_empty())
                .map(str::to_owned)
        };
        last(&self.stderr).or_else(|| last(&self.stdout)).unwrap_or_default()
    }
}

/// Appends `bytes` as far as [`Output::LIMIT`] allows.
pub(crate) fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = Output::LIMIT.saturating_sub(kept.len()).min(bytes.len());
    kept.extend_from_slice(bytes.split_at(room).0);
}

/// One command line for a POSIX shell that runs exactly these words, whatever stands in them: sshd hands a single
/// string to the user's login shell. Between single quotes every character stands for itself (POSIX.1-2017, XCU 2.2.2).
pub(crate) fn shell_line(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell_as_they_are() {
        let words = [
            "",
            " ",
            "plain",
            "two words",
            "it's",
            "''",
            "'\\''",
            "\"$HOME\"",
            "$(id)",
            "`id`",
            "a\nb\n",
            "\ttab",
            "-n",
            "--",
            "-e \\x41",
            "*",
            "~",
            "#",
            "!!",
            "a;b&&c|d>e<f",
            "\\",
            "é ü 漢字 🚀",
            "{a,b}",
            "%s%n",
        ];
        let mut command = vec!["printf", r"%s\0"];
        command.extend(words);
        let output =
            std::process::Command::new("/bin/sh").arg("-c").arg(shell_line(&command)).output().unwrap();
        let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[test]
    fn the_reason_is_the_last_line_that_says_something() {
        let output =
            |stdout: &str, stderr: &str| Output { status: 1, stdout: stdout.into(), stderr: stderr.into() };
        assert_eq!(output("a\nb\n", "c\nd\n\n").last_line(), "d");
        assert_eq!(output("a\nb\n", "\n").last_line(), "b");
        assert_eq!(output("", "").last_line(), "");
    }

    #[test]
    fn output_is_kept_up_to_the_limit() {
        let mut kept = vec![0; Output::LIMIT - 2];
        keep(&mut kept, b"abcd");
        assert_eq!(kept.len(), Output::LIMIT);
        keep(&mut kept, b"ef");
        assert!(kept.ends_with(b"ab"));
    }
}
