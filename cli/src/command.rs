//! A command in a container, with this terminal, or with what is piped in and out.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Read, Write};
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use cutover_core::HostName;
use cutover_fleet::Machine;
use futures_util::StreamExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::exit::Exit;
use crate::follow::Interrupt;

/// Keys that nobody types, in the place of Docker's own, which would swallow Ctrl-P.
const DETACH: &str = "ctrl-^,ctrl-_,ctrl-@";
/// Pieces of what is typed that wait to be sent.
const WAITING: usize = 16;
/// The largest piece, in bytes.
const PIECE: usize = 8 * 1024;
/// Between two looks at what Docker hasn't done yet.
const AGAIN: Duration = Duration::from_millis(20);
/// How long Docker may take to start a command that it has said it starts, or to note the end of one whose output has ended.
const NOTED_WITHIN: Duration = Duration::from_secs(10);

/// A command for a container.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    /// Where.
    pub(crate) machine: &'a Machine,
    /// The container's name.
    pub(crate) container: &'a str,
    /// Its id: the name may be another's in a moment.
    pub(crate) id: &'a str,
    /// What.
    pub(crate) command: &'a [String],
    /// Whether it gets what is typed or piped in, and a terminal where this is one.
    pub(crate) interactive: bool,
    /// What each line of its output begins with.
    pub(crate) prefix: Option<String>,
}

/// The connection broke before the command had ended.
#[derive(Debug, thiserror::Error)]
#[error("the connection to {host} broke: the command may go on in {container}")]
pub(crate) struct CutOff {
    host: HostName,
    container: String,
}

impl Command<'_> {
    /// Runs it to its end, with its exit code. It gets no signal of this process: Ctrl-C in a terminal is a key, which it is sent;
    /// otherwise it goes on in its container.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached; a container that doesn't run.
    pub(crate) async fn run(&self) -> anyhow::Result<Exit> {
        let mut interrupt = Interrupt::catch()?;
        let is_terminal = self.interactive && io::stdin().is_terminal() && io::stdout().is_terminal();
        let docker = self.machine.docker().await?;
        let failed = || {
            // Not its arguments: a password may be among them.
            let program = self.command.first().map_or("", String::as_str);
            let doing = format!("running {program} in {}", self.container);
            self.machine.host().docker_failed(doing)
        };
        let terminal = is_terminal.then(|| std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned()));
        let options = CreateExecOptions {
            attach_stdin: Some(self.interactive),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(is_terminal),
            detach_keys: Some(DETACH.to_owned()),
            env: terminal.map(|terminal| vec![format!("TERM={terminal}")]),
            cmd: Some(self.command.to_vec()),
            ..CreateExecOptions::default()
        };
        let id = docker.create_exec(self.id, options).await.map_err(failed())?.id;
        let attached = StartExecOptions { detach: false, tty: is_terminal, output_capacity: None };
        let started = docker.start_exec(&id, Some(attached)).await.map_err(failed())?;
        // Attached, as was asked for.
        let StartExecResults::Attached { mut output, input } = started else { return Ok(Exit::Unexpected) };
        let screen = Screen::take(is_terminal)?;
        // Kept to the end: a connection that is closed on one side is closed for some Dockers.
        let (sized, is_sized) = oneshot::channel();
        let sending = if self.interactive { Some(tokio::spawn(send(input, is_sized))) } else { None };
        let resizing = resize(&docker, &id, screen.changes()?, sized);
        tokio::pin!(resizing);
        let mut lines = Lines { prefix: self.prefix.as_deref(), begun: [false; 2] };
        loop {
            tokio::select! {
                part = output.next() => match part {
                    Some(part) => lines.write(part.map_err(failed())?)?,
                    None => break,
                },
                never = &mut resizing => match never {},
                ended = interrupt.signal() => {
                    drop(screen);
                    let _ = writeln!(io::stderr().lock(), "the command may go on in {}", self.container);
                    return Ok(ended);
                }
            }
        }
        if let Some(sending) = sending {
            sending.abort();
            // It ends by itself where what was to be sent could not be read, or sent.
            if let Ok(Err(error)) = sending.await {
                drop(screen);
                return Err(error.into());
            }
        }
        drop(screen);
        self.exit(&docker, &id).await
    }

    async fn exit(&self, docker: &Docker, id: &str) -> anyhow::Result<Exit> {
        let begun = Instant::now();
        while begun.elapsed() < NOTED_WITHIN {
            let doing = || self.machine.host().docker_failed("asking how the command has ended");
            if let Some(code) = docker.inspect_exec(id).await.map_err(doing())?.exit_code {
                return Ok(Exit::Command(u8::try_from(code).unwrap_or(u8::MAX)));
            }
            sleep(AGAIN).await;
        }
        Err(CutOff { host: self.machine.name().clone(), container: self.container.to_owned() }.into())
    }
}

/// Sends what is typed or piped in, and that it has ended. Nothing before the command's terminal has its size: it may answer to a key by
/// asking for it.
async fn send(mut input: Pin<Box<dyn AsyncWrite + Send>>, is_sized: oneshot::Receiver<()>) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel::<io::Result<Vec<u8>>>(WAITING);
    // A thread that nobody waits for: one of the runtime's would keep the process until a key is pressed.
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut piece = vec![0; PIECE];
        loop {
            let read = match io::stdin().lock().read(&mut piece) {
                Ok(0) => break,
                Ok(length) => Ok(piece.get(..length).unwrap_or_default().to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = read.is_err();
            if sender.blocking_send(read).is_err() || is_last {
                break;
            }
        }
    })?;
    // It ends unsent where the command has ended, and so does this.
    let _ = is_sized.await;
    while let Some(piece) = pieces.recv().await {
        // Were it taken for the end, half of a dump would look like all of it.
        input.write_all(&piece?).await?;
        input.flush().await?;
    }
    input.shutdown().await?;
    // What comes back is still to be read.
    std::future::pending().await
}

/// This terminal, while it is the command's: keys are sent as they are typed, and nothing is echoed here.
struct Screen(bool);

impl Screen {
    fn take(is_terminal: bool) -> io::Result<Self> {
        if is_terminal {
            crossterm::terminal::enable_raw_mode()?;
        }
        Ok(Self(is_terminal))
    }

    /// Of its size.
    fn changes(&self) -> io::Result<Option<Signal>> {
        if self.0 { signal(SignalKind::window_change()).map(Some) } else { Ok(None) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.0 {
            let _ = crossterm::terminal::disable_raw_mode();
        }
    }
}

/// Tells the size of this terminal, at once and whenever it has changed; without a terminal there is none to tell.
async fn resize(
    docker: &Docker,
    id: &str,
    changes: Option<Signal>,
    sized: oneshot::Sender<()>,
) -> Infallible {
    if let Some(mut changes) = changes {
        tell_size(docker, id).await;
        let _ = sized.send(());
        while changes.recv().await.is_some() {
            tell_size(docker, id).await;
        }
    } else {
        let _ = sized.send(());
    }
    std::future::pending().await
}

/// Docker takes it once the command runs, which is a while after it has said that it starts it. A command that has ended meanwhile
/// needs none.
async fn tell_size(docker: &Docker, id: &str) {
    let begun = Instant::now();
    while begun.elapsed() < NOTED_WITHIN {
        let Ok((width, height)) = crossterm::terminal::size() else { return };
        if docker.resize_exec(id, ResizeExecOptions { height, width }).await.is_ok() {
            return;
        }
        sleep(AGAIN).await;
    }
}

/// What the command writes, as it comes; with a prefix, its lines.
struct Lines<'a> {
    prefix: Option<&'a str>,
    /// Whether the current line has its prefix: of its output, and of its errors.
    begun: [bool; 2],
}

impl Lines<'_> {
    fn write(&mut self, part: LogOutput) -> io::Result<()> {
        let is_error = matches!(part, LogOutput::StdErr { .. });
        let bytes = part.into_bytes();
        let text = match self.prefix {
            None => bytes.to_vec(),
            Some(prefix) => prefixed(prefix, &mut self.begun[usize::from(is_error)], &bytes),
        };
        if is_error {
            io::stderr().lock().write_all(&text)
        } else {
            let mut out = io::stdout().lock();
            out.write_all(&text)?;
            out.flush()
        }
    }
}

fn prefixed(prefix: &str, begun: &mut bool, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if !*begun {
            text.extend_from_slice(prefix.as_bytes());
        }
        text.push(*byte);
        *begun = *byte != b'\n';
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_prefix_however_it_arrives() {
        let mut begun = false;
        let text = [&b"on"[..], b"e\n\ntwo", b"\n"].map(|bytes| prefixed("a | ", &mut begun, bytes));
        assert_eq!(String::from_utf8_lossy(&text.concat()), "a | one\na | \na | two\n");
    }
}
