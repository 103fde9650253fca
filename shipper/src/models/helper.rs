//! The helper on a host, and the way to it.

use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use cutover_core::{Digest, ServiceKey};
use cutover_fleet::{LAST_LINES, Machine, PROXY, SOCKET};
use cutover_host::Stream;
use cutover_model::{Answer, Call};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep, timeout};

use super::{MODELS, ModelError};
use crate::{Error, Result};

/// Where the sockets of Cutover's programs are on every host.
const SOCKETS: &str = "/run/cutover";
/// How long it may take to listen.
const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// From one look whether it listens to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long nothing may be heard of it: it says now and then that it is at work.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much is sent between two looks at the clock, in bytes. It is what SSH takes at once, and at a kilobyte per second still
/// comes before the helper takes the connection for dead.
pub(super) const PIECE: usize = 32 << 10;
/// The longest line that it says.
const MAX_LINE: u64 = 4 << 20;

/// The helper of a service on a host, and a connection to it. One at a time: whoever starts another one ends the one before,
/// so that what was given up elsewhere can't go on beside it.
pub(super) struct Helper<'a> {
    pub(super) machine: &'a Machine,
    name: String,
    pub(super) line: Line<'a>,
}

/// The connection to it.
pub(super) struct Line<'a> {
    machine: &'a Machine,
    incoming: BufReader<ReadHalf<Stream>>,
    outgoing: WriteHalf<Stream>,
}

impl<'a> Helper<'a> {
    pub(super) async fn start(machine: &'a Machine, key: &ServiceKey) -> Result<Self> {
        let docker = machine.docker().await?;
        let Some(image) = machine.condition(PROXY).await?.map(|condition| condition.image) else {
            return Err(Error::NoHelper { host: machine.name().clone() });
        };
        let name = name_of(key);
        // The path of a socket has 107 bytes at most (unix(7)).
        let socket = format!("{SOCKETS}/models-{}.sock", Digest::of(name.as_bytes()).short());
        machine.remove(&name, &name).await?;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = docker.create_container(Some(options), body(image, &socket)).await;
        created.map_err(machine.host().docker_failed(format!("making {name}")))?;
        let started = docker.start_container(&name, None).await;
        started.map_err(machine.host().docker_failed(format!("starting {name}")))?;
        match connect(machine, &name, &socket).await {
            Ok(line) => Ok(Self { machine, name, line }),
            Err(error) => {
                machine.remove(&name, &name).await?;
                Err(error)
            }
        }
    }

    /// Ends it.
    pub(super) async fn end(self) -> Result<()> {
        Ok(self.machine.remove(&self.name, &self.name).await?)
    }
}

/// The name of its container. The dot is in no name of a destination or a service: no two services have one helper.
fn name_of(key: &ServiceKey) -> String {
    format!("cutover-models-{}.{}", key.destination, key.service)
}

/// What Docker is asked to make: nothing of the host is open to it but the models and the sockets.
fn body(image: String, socket: &str) -> ContainerCreateBody {
    let host_config = HostConfig {
        binds: Some(vec![format!("{MODELS}:{MODELS}"), format!("{SOCKETS}:{SOCKETS}")]),
        network_mode: Some("none".to_owned()),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        // The socket gets the group of the proxy's, and folders that are closed to changes are removed.
        cap_add: Some(["CHOWN", "DAC_OVERRIDE"].map(str::to_owned).into()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        ..HostConfig::default()
    };
    let command = ["assemble", "--socket", socket, "--group-of", SOCKET, "--folder", MODELS];
    ContainerCreateBody {
        image: Some(image),
        user: Some("0:0".to_owned()),
        cmd: Some(command.map(str::to_owned).into()),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

/// Connects once it listens.
async fn connect<'a>(machine: &'a Machine, name: &str, socket: &str) -> Result<Line<'a>> {
    let began = Instant::now();
    let failed = |reason: String| ModelError::Helper { host: machine.name().clone(), reason };
    loop {
        let stream = match machine.host().connect_unix(Path::new(socket)).await {
            Ok(stream) => Some(stream),
            Err(cutover_host::Error::NotListening { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(stream) = stream {
            let mut line = Line::new(machine, stream);
            match line.hear().await {
                Ok(Answer::Ready { .. }) => return Ok(line),
                Ok(_) => return Err(ModelError::Answer { host: machine.name().clone(), source: None }.into()),
                // What is run in its container finds no socket as long as it doesn't listen.
                Err(ModelError::Cut { .. }) if began.elapsed() < STARTS_WITHIN => {}
                Err(error) => return Err(error.into()),
            }
        }
        match machine.condition(name).await? {
            Some(condition) if condition.exit_code.is_none() => {}
            Some(_) => return Err(failed(machine.last_lines(name, LAST_LINES).await.join("; ")).into()),
            None => return Err(failed("it was removed: does another shipper work there?".to_owned()).into()),
        }
        if began.elapsed() >= STARTS_WITHIN {
            return Err(failed(format!("it does not listen within {} s", STARTS_WITHIN.as_secs())).into());
        }
        sleep(LOOK_EVERY).await;
    }
}

impl<'a> Line<'a> {
    fn new(machine: &'a Machine, stream: Stream) -> Self {
        let (incoming, outgoing) = split(stream);
        Self { machine, incoming: BufReader::new(incoming), outgoing }
    }

    /// Says what is to be done; `then` follows at once.
    pub(super) async fn say(&mut self, call: &Call, then: &[u8]) -> std::result::Result<(), ModelError> {
        let line = call.to_line().map_err(|source| self.not_understood(Some(source)))?;
        // A manifest may have megabytes, and the link be slow: each piece has a time of its own.
        for piece in line.chunks(PIECE).chain(then.chunks(PIECE)) {
            within(self.machine, self.outgoing.write_all(piece)).await?;
        }
        within(self.machine, self.outgoing.flush()).await
    }

    /// The next answer.
    pub(super) async fn hear(&mut self) -> std::result::Result<Answer, ModelError> {
        hear(self.machine, &mut self.incoming).await
    }

    /// Both ways at once.
    pub(super) fn split(&mut self) -> (&mut WriteHalf<Stream>, Ear<'_>) {
        (&mut self.outgoing, Ear { machine: self.machine, incoming: &mut self.incoming })
    }

    pub(super) fn not_understood(&self, source: Option<cutover_model::Error>) -> ModelError {
        ModelError::Answer { host: self.machine.name().clone(), source }
    }
}

/// What hears while something else is being said.
pub(super) struct Ear<'a> {
    machine: &'a Machine,
    incoming: &'a mut BufReader<ReadHalf<Stream>>,
}

impl Ear<'_> {
    /// The next answer.
    pub(super) async fn hear(&mut self) -> std::result::Result<Answer, ModelError> {
        hear(self.machine, self.incoming).await
    }
}

async fn hear(
    machine: &Machine,
    incoming: &mut BufReader<ReadHalf<Stream>>,
) -> std::result::Result<Answer, ModelError> {
    timeout(PATIENCE, read(machine, incoming)).await.unwrap_or_else(|_| Err(silent(machine)))
}

async fn read(
    machine: &Machine,
    incoming: &mut BufReader<ReadHalf<Stream>>,
) -> std::result::Result<Answer, ModelError> {
    let mut line = Vec::new();
    let read = incoming.take(MAX_LINE).read_until(b'\n', &mut line).await;
    read.map_err(|source| cut(machine, source))?;
    if line.last() != Some(&b'\n') {
        return Err(cut(machine, std::io::ErrorKind::UnexpectedEof.into()));
    }
    let host = || machine.name().clone();
    Answer::parse(&line).map_err(|source| ModelError::Answer { host: host(), source: Some(source) })
}

/// A step of saying something, within the time that nothing may be heard.
async fn within(
    machine: &Machine,
    step: impl Future<Output = std::io::Result<()>>,
) -> std::result::Result<(), ModelError> {
    let done = timeout(PATIENCE, step).await.map_err(|_| silent(machine))?;
    done.map_err(|source| cut(machine, source))
}

pub(super) fn cut(machine: &Machine, source: std::io::Error) -> ModelError {
    ModelError::Cut { host: machine.name().clone(), source }
}

fn silent(machine: &Machine) -> ModelError {
    ModelError::Silent { host: machine.name().clone(), seconds: PATIENCE.as_secs() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_two_services_have_one_helper() {
        let name = |destination: &str, service: &str| {
            name_of(&ServiceKey {
                destination: destination.parse().unwrap(),
                service: service.parse().unwrap(),
            })
        };
        assert_eq!(name("production", "hello"), "cutover-models-production.hello");
        assert_ne!(name("eu", "west-api"), name("eu-west", "api"));
    }
}
