//! A session of an SSH connection that runs one command (RFC 4254, section 6).

use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelWriteHalf, Sig};

use crate::Output;
use crate::command::{keep, shell_line};

/// Runs a command on a fresh session channel to its end. The host itself kills it soon after `limit`: a command that
/// nobody waits for any more, be it for a lost connection, would run on and count against `MaxSessions`, and sshd
/// doesn't pass signals on to the commands of root.
pub(crate) async fn execute(
    channel: Channel<Msg>,
    command: &[&str],
    limit: Duration,
) -> Result<Output, russh::Error> {
    let seconds = limit.as_secs().saturating_add(1).to_string();
    let limited = [&["timeout", "-s", "KILL", &seconds], command].concat();
    let (mut answers, requests) = channel.split();
    let _open = CloseOnDrop(Some(requests)).request(shell_line(&limited)).await?;
    let (mut status, mut stdout, mut stderr) = (None, Vec::new(), Vec::new());
    while let Some(message) = answers.wait().await {
        match message {
            ChannelMsg::Data { data } => keep(&mut stdout, &data),
            ChannelMsg::ExtendedData { data, .. } => keep(&mut stderr, &data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => status = Some(128 + number(&signal_name)),
            ChannelMsg::Failure => return Err(russh::Error::RequestDenied),
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    // A session that ends without a status has lost its connection: nobody knows how the command ended.
    Ok(Output { status: status.ok_or(russh::Error::Disconnect)?, stdout, stderr })
}

/// The sending half of a session channel.
struct CloseOnDrop(Option<ChannelWriteHalf<Msg>>);

impl CloseOnDrop {
    /// Starts the command; one that reads its standard input finds it at its end.
    async fn request(self, line: String) -> Result<Self, russh::Error> {
        if let Some(requests) = &self.0 {
            requests.exec(true, line).await?;
            requests.eof().await?;
        }
        Ok(self)
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let (Some(requests), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { requests.close().await });
        }
    }
}

/// The number of a signal that SSH names (POSIX.1-2017, XCU `kill`, and Linux's for the others).
fn number(signal: &Sig) -> u32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}
