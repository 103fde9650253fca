//! The values of the person who deploys, where `cutover` runs.

use std::process::Stdio;
use std::time::Duration;

use cutover_core::Reference;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::source::{self, LIMIT};
use crate::variables::Variables;
use crate::{Error, Secret};

/// How long a command has. It may ask the person for something.
const PATIENCE: Duration = Duration::from_secs(120);

/// The value that a reference of the person who deploys has here. A command is run as it is written, by its words and without a
/// shell; it may ask on the terminal, and what it says on standard error is shown as it says it.
///
/// # Errors
/// Why it has none; [`Error::NotHere`] where the value is in a store of secrets.
pub async fn read(reference: &Reference) -> Result<Secret, Error> {
    match reference {
        Reference::Environment(name) => source::variable(name, &Variables::Process),
        Reference::File(path) => source::file(path).await,
        Reference::Command(command) => run(command, reference).await,
        Reference::Vault(_) | Reference::Aws(_) => Err(Error::NotHere(reference.clone())),
    }
}

async fn run(command: &str, reference: &Reference) -> Result<Secret, Error> {
    let failed = |why: String| Error::Command { reference: reference.clone(), why };
    let words = shlex::split(command).ok_or_else(|| failed("a quotation mark has no end".to_owned()))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(failed("there is no command".to_owned()));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("{program} can't be run: {error}")))?;
    let done = async {
        // As large as it may get from the start: a vector that grows leaves copies behind.
        let mut printed = Zeroizing::new(Vec::with_capacity(LIMIT + 2));
        if let Some(output) = child.stdout.take() {
            let mut output = output.take(LIMIT as u64 + 2);
            while output.read_buf(&mut *printed).await? > 0 {}
        }
        Ok::<_, std::io::Error>((printed, child.wait().await?))
    };
    let ended = tokio::time::timeout(PATIENCE, done).await;
    let ended = ended.map_err(|_| failed(format!("{program} took longer than {} s", PATIENCE.as_secs())))?;
    let (printed, status) = ended.map_err(|error| failed(format!("{program}: {error}")))?;
    // It may have failed for that alone.
    let is_too_large = printed.len() > LIMIT + 1;
    if !status.success() && !is_too_large {
        return Err(failed(format!("{program} failed, {status}")));
    }
    source::text_of(printed, reference)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    async fn read_text(text: &str) -> Result<Secret, Error> {
        read(&text.parse().unwrap()).await
    }

    async fn read_file(content: &[u8]) -> Result<Secret, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("secret");
        std::fs::write(&path, content).unwrap();
        read(&Reference::File(path)).await
    }

    #[tokio::test]
    async fn a_variable_has_its_value() {
        // Set by cargo for every test; this process can't set one without unsafe code.
        assert_eq!(read_text("env://CARGO_PKG_NAME").await.unwrap().expose(), "cutover-secrets");
        let error = read_text("env://CUTOVER_SURELY_NOT_SET").await.unwrap_err();
        assert!(error.to_string().contains("CUTOVER_SURELY_NOT_SET"));
    }

    #[tokio::test]
    async fn the_last_line_break_of_a_file_is_not_part_of_it() {
        assert_eq!(read_file(b"hunter2\n").await.unwrap().expose(), "hunter2");
        assert_eq!(read_file(b"hunter2\r\n").await.unwrap().expose(), "hunter2");
        assert_eq!(read_file(b" two\nlines\n\n").await.unwrap().expose(), " two\nlines\n");
    }

    #[tokio::test]
    async fn a_command_is_run_by_its_words_and_not_by_a_shell() {
        assert_eq!(read_text("cmd://echo hunter2").await.unwrap().expose(), "hunter2");
        assert_eq!(read_text("cmd://echo 'a  b' \"c d\"").await.unwrap().expose(), "a  b c d");
        assert_eq!(
            read_text("cmd://echo $HOME; echo `id` > x").await.unwrap().expose(),
            "$HOME; echo `id` > x"
        );
        assert_eq!(read_text("cmd://sh -c 'echo $((1 + 1))'").await.unwrap().expose(), "2");
    }

    #[tokio::test]
    async fn a_command_that_has_no_value_says_why_and_shows_nothing_of_it() {
        for (command, why) in [
            ("cmd://sh -c 'echo hunter2; exit 3'", "sh failed, exit status: 3"),
            ("cmd://true", "it is empty"),
            ("cmd://no-such-program-here", "can't be run"),
            ("cmd://echo 'hunter2", "a quotation mark has no end"),
            ("cmd://head -c 70000 /dev/zero", "larger than 65536 bytes"),
            ("cmd://yes", "larger than 65536 bytes"),
        ] {
            let error = read_text(command).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(why) && !error.retryable(), "{command}: {text}");
            assert!(!text.replace(command, "").contains("hunter2"), "{command}: {text}");
        }
    }

    #[tokio::test]
    async fn what_can_not_be_a_secret_is_refused() {
        assert!(matches!(read_file(b"\n").await, Err(Error::Empty(_))));
        assert!(matches!(read_file(&[0xff, 0xfe]).await, Err(Error::NotText(_))));
        assert!(matches!(read_file(&vec![b'x'; LIMIT + 1]).await, Err(Error::TooLarge { .. })));
        assert_eq!(read_file(&vec![b'x'; LIMIT]).await.unwrap().expose().len(), LIMIT);
        assert!(matches!(read_text("file:///").await, Err(Error::NotAFile(_))));
        assert!(matches!(read_text("file:///no/such/file").await, Err(Error::Unreadable { .. })));
        assert!(matches!(read_text("vault://kv/shop#key").await, Err(Error::NotHere(_))));
    }

    #[tokio::test]
    async fn a_value_is_never_shown() {
        let secret = read_file(b"hunter2").await.unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let error = read_file(b"hunter2 \xff").await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
