//! The connections to a proxy's control socket. They are kept open: making one costs a round trip to the host.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cutover_control::{Call, MAX_LINE, Reply, Request};
use cutover_host::Stream;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::{Error, Machine};

/// Connections that nobody uses at the moment, by socket. Each is used by one caller at a time.
#[derive(Default)]
pub(crate) struct ControlLines {
    idle: Mutex<HashMap<PathBuf, Vec<Line>>>,
}

type Line = BufReader<Stream>;

/// New connections that are made for a question that gets no answer.
const CONNECTIONS: u32 = 3;

/// Why there was no answer.
enum Failure {
    /// The connection broke, or was closed, before the first answer.
    Unanswered(std::io::Error),
    /// Anything else.
    Error(Error),
}

impl ControlLines {
    /// Sends the requests in one go, and waits for the answer to each: one round trip, whatever their number. The proxy
    /// carries them out one after the other, the next one also where one before it was refused.
    ///
    /// A connection may be closed without an answer: one that was kept, by a proxy that was started anew; a new one, by a
    /// proxy that has just handed over to another. Then another one is made: all requests may be made twice.
    pub(crate) async fn ask<const N: usize>(
        &self,
        machine: &Machine,
        socket: &Path,
        requests: [Request; N],
    ) -> Result<[Reply; N], Error> {
        let mut calls = Vec::new();
        for request in requests {
            let line = Call::new(request).to_line();
            calls.extend(line.map_err(|error| not_understood(machine, Some(error)))?);
        }
        let mut made = 0;
        loop {
            let line = match self.take(socket) {
                Some(kept) => kept,
                None => {
                    made += 1;
                    connect(machine, socket).await?
                }
            };
            match self.exchange(machine, socket, line, &calls).await {
                Err(Failure::Unanswered(source)) if made >= CONNECTIONS => {
                    return Err(Error::Broken { host: name_of(machine), source });
                }
                Err(Failure::Unanswered(_)) => {}
                Err(Failure::Error(error)) => return Err(error),
                Ok(replies) => return Ok(replies),
            }
        }
    }

    /// One exchange on one connection, which is kept where all went well.
    async fn exchange<const N: usize>(
        &self,
        machine: &Machine,
        socket: &Path,
        mut line: Line,
        calls: &[u8],
    ) -> Result<[Reply; N], Failure> {
        let sent = async {
            line.write_all(calls).await?;
            line.flush().await
        };
        sent.await.map_err(Failure::Unanswered)?;
        let mut replies = Vec::with_capacity(N);
        let mut answer = Vec::new();
        while replies.len() < N {
            answer.clear();
            let read = (&mut line).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut answer).await;
            let read = read.and_then(|length| match length {
                0 => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
                length => Ok(length),
            });
            match read {
                Err(error) if replies.is_empty() && answer.is_empty() => {
                    return Err(Failure::Unanswered(error));
                }
                Err(source) => return Err(Failure::Error(Error::Broken { host: name_of(machine), source })),
                Ok(_) => {}
            }
            let reply = cutover_control::decode_reply(&answer);
            replies.push(reply.map_err(|error| Failure::Error(not_understood(machine, Some(error))))?);
        }
        self.keep(socket, line);
        replies.try_into().map_err(|_| Failure::Error(not_understood(machine, None)))
    }

    fn take(&self, socket: &Path) -> Option<Line> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(socket)?.pop()
    }

    fn keep(&self, socket: &Path, line: Line) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(socket.to_owned()).or_default().push(line);
    }
}

async fn connect(machine: &Machine, socket: &Path) -> Result<Line, Error> {
    let stream = machine.host().connect_unix(socket).await.map_err(|source| match source {
        cutover_host::Error::NotListening { .. } => Error::NoProxy { host: name_of(machine), source },
        source => Error::Host(source),
    })?;
    Ok(BufReader::new(stream))
}

impl std::fmt::Debug for ControlLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlLines").finish_non_exhaustive()
    }
}

fn name_of(machine: &Machine) -> String {
    machine.name().to_string()
}

/// The proxy answered something that is no answer to what was asked.
pub(crate) fn not_understood(machine: &Machine, source: Option<cutover_control::Error>) -> Error {
    Error::Answer { host: name_of(machine), source }
}
