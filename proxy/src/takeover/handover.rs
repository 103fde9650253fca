use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use cutover_control::{Challenge, LineBuffer, ServiceStatus};
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use crate::control::Ledger;

/// The version of what two proxies say to each other.
pub(crate) const PROTOCOL: u32 = 1;

/// What is handed over at most, in this order: the control socket, the one for HTTP, and the one for HTTPS.
pub(crate) const SOCKETS: usize = 3;

/// What a proxy says to the one that it takes over from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Give me your sockets, and change nothing from now on.
    TakeOver {
        /// The version of this protocol.
        protocol: u32,
        /// Whether a third socket is wanted, where there is one: an older proxy can't say, and takes two.
        #[serde(default)]
        https: bool,
    },
    /// I have all that I need: stop accepting.
    Ready,
    /// This is what I was told since.
    Follow(Box<Ledger>),
    /// What do you still have in flight?
    Busy,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// To [`Ask::TakeOver`]; the sockets come with it.
    Offer {
        /// What became of the requests so far.
        services: Vec<ServiceStatus>,
        /// How long it goes on at most once it has handed over, in seconds.
        end_limit: u64,
        /// What a certificate authority may still ask.
        #[serde(default)]
        challenges: Vec<Challenge>,
    },
    /// To [`Ask::TakeOver`].
    Refused {
        /// Why.
        message: String,
    },
    /// To [`Ask::Ready`]: I accept nothing more.
    HandedOver,
    /// To [`Ask::Follow`]: no request can begin on the old routes here any more.
    Followed,
    /// To [`Ask::Busy`].
    Busy {
        /// What is in flight.
        services: Vec<ServiceStatus>,
    },
}

/// Where a proxy waits for its successor: beside its control socket. Only its own user may connect.
pub(crate) fn path_beside(control: &Path) -> PathBuf {
    control.with_file_name("handover.sock")
}

/// The longest line: it may hold all that a proxy was told, which came in many calls.
const LONGEST: usize = 64 << 20;

/// The other proxy: lines of JSON, some with open sockets (unix(7), `SCM_RIGHTS`).
#[derive(Debug)]
pub(crate) struct Peer {
    stream: UnixStream,
    lines: LineBuffer,
    sockets: Vec<OwnedFd>,
}

impl Peer {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, lines: LineBuffer::with_limit(LONGEST), sockets: Vec::new() }
    }

    /// Says something.
    ///
    /// # Errors
    ///
    /// When the other one is gone.
    pub(crate) async fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.say_with(message, &[]).await
    }

    /// Says something, with sockets; at most [`SOCKETS`].
    ///
    /// # Errors
    ///
    /// When the other one is gone.
    pub(crate) async fn say_with(
        &mut self,
        message: &impl Serialize,
        sockets: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let stream = &self.stream;
        let sent = stream.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(SOCKETS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many sockets for one message"));
            }
            Ok(sendmsg(stream, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?)
        });
        let sent = sent.await?;
        self.stream.write_all(line.get(sent..).unwrap_or_default()).await
    }

    /// What the other one says next.
    ///
    /// # Errors
    ///
    /// Of kind [`io::ErrorKind::UnexpectedEof`] when it is gone, [`io::ErrorKind::InvalidData`] when it can't be understood.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        loop {
            let line = self.lines.next_line();
            if let Some(line) = line.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                return Ok(serde_json::from_slice(&line)?);
            }
            self.read().await?;
        }
    }

    /// The sockets that have come so far.
    pub(crate) fn take_sockets(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.sockets)
    }

    async fn read(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; 16 << 10];
        let (stream, sockets) = (&self.stream, &mut self.sockets);
        let length = stream.async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(SOCKETS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let parts = &mut [IoSliceMut::new(&mut bytes)];
            let length = recvmsg(stream, parts, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = message {
                    sockets.extend(received);
                }
            }
            Ok(length)
        });
        match length.await? {
            0 => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other proxy has closed the connection"))
            }
            length => {
                self.lines.extend(bytes.get(..length).unwrap_or_default());
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_an_older_version_says_is_understood() {
        let ask: Ask = serde_json::from_str(r#"{"take_over":{"protocol":1}}"#).unwrap();
        assert!(matches!(ask, Ask::TakeOver { protocol: PROTOCOL, https: false }));
        let offer: Answer = serde_json::from_str(r#"{"offer":{"services":[],"end_limit":30}}"#).unwrap();
        assert!(matches!(offer, Answer::Offer { end_limit: 30, challenges, .. } if challenges.is_empty()));
    }
}
