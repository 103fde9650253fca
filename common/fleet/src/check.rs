//! One look at a replica, of whatever kind.

use std::net::SocketAddr;
use std::time::Duration;

use cutover_core::{ApplicationProtocol, Check, GrpcCheck, HttpCheck, Replica};

use crate::{Health, Machine, NoAnswer};

/// What a replica was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether it is as it should be.
    pub passed: bool,
    /// What it said, in a line.
    pub said: String,
    /// The status of an answer over HTTP, and the bytes of its body.
    pub http: Option<(u16, usize)>,
}

impl Checked {
    /// What was found over something else than HTTP.
    pub(crate) const fn new(passed: bool, said: String) -> Self {
        Self { passed, said, http: None }
    }
}

impl Machine {
    /// Asks a replica what `check` says, within `limit`, which counts once the host itself is connected. `protocol` is what its
    /// own port speaks.
    ///
    /// # Errors
    /// No answer: then nothing says that it is as it should be either.
    pub async fn check(
        &self,
        replica: &Replica,
        protocol: ApplicationProtocol,
        check: &Check,
        limit: Duration,
    ) -> Result<Checked, NoAnswer> {
        let at = |port: &Option<u16>| {
            SocketAddr::new(replica.address.ip(), port.unwrap_or_else(|| replica.address.port()))
        };
        match check {
            Check::Http(http) => self.check_http(replica.address, protocol, http, limit).await,
            Check::Tcp { port } => self.check_tcp(at(port), limit).await,
            Check::Grpc(GrpcCheck { service, port }) => self.check_grpc(at(port), service, limit).await,
            Check::Command(command) => self.check_command(&replica.name, command, limit).await,
            Check::Image {} => self.check_image(&replica.name, limit).await,
        }
    }

    async fn check_http(
        &self,
        address: SocketAddr,
        protocol: ApplicationProtocol,
        check: &HttpCheck,
        limit: Duration,
    ) -> Result<Checked, NoAnswer> {
        let answer = self.ask(address, protocol, check, limit).await?;
        let http = Some((answer.status.as_u16(), answer.body.len()));
        Ok(match answer.judge(check) {
            Ok(()) => Checked { passed: true, said: answer.to_string(), http },
            // A status says it itself, where nobody has asked for certain ones.
            Err(cutover_core::Unmet::Status(wanted)) if wanted.is_usual() => {
                Checked { passed: false, said: answer.to_string(), http }
            }
            Err(unmet) => Checked { passed: false, said: format!("{answer}: {unmet}"), http },
        })
    }

    async fn check_tcp(&self, address: SocketAddr, limit: Duration) -> Result<Checked, NoAnswer> {
        self.within(address, limit, async { Ok(self.host().connect_tcp(address, limit).await?) }).await?;
        Ok(Checked::new(true, "accepted".to_owned()))
    }

    async fn check_command(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Checked, NoAnswer> {
        let docker = |error| NoAnswer::Docker(Box::new(error));
        let asked = format!("`{}`", command.join(" "));
        let run = async { self.exec(container, command).await.map_err(docker) };
        let ended = self.within(asked, limit, run).await?;
        let code = ended.code;
        let said = ended.last_line.map_or_else(String::new, |line| format!(" \"{line}\""));
        Ok(Checked::new(code == 0, format!("exited with code {code}{said}")))
    }

    async fn check_image(&self, container: &str, limit: Duration) -> Result<Checked, NoAnswer> {
        let docker = |error| NoAnswer::Docker(Box::new(error));
        let look = async { self.condition(container).await.map_err(docker) };
        let Some(condition) = self.within("Docker", limit, look).await? else {
            return Ok(Checked::new(false, "there is no such container".to_owned()));
        };
        match condition.health {
            None => Err(NoAnswer::NoHealthCheck { container: container.to_owned() }),
            Some(Health::Starting) => Ok(Checked::new(false, "starting".to_owned())),
            Some(Health::Healthy) => Ok(Checked::new(true, "healthy".to_owned())),
            Some(Health::Unhealthy { last_line: None }) => Ok(Checked::new(false, "unhealthy".to_owned())),
            Some(Health::Unhealthy { last_line: Some(line) }) => {
                Ok(Checked::new(false, format!("unhealthy \"{line}\"")))
            }
        }
    }
}
