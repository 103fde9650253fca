//! Who is there: each program is a service of the NATS service API (NATS ADR-32) for as long as it runs.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::service::{Config, PingResponse, Service, ServiceExt};
use cutover_core::{PROTOCOL, Program};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::listener::Line;
use crate::watch::AGAIN;
use crate::{Bus, Error};

/// A program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Which one.
    pub program: Program,
    /// This instance.
    pub id: String,
    /// Its build.
    pub version: String,
    /// The newest protocol that it knows.
    pub protocol: u32,
}

impl Bus {
    /// The programs that run, of `wanted`, or of all where none is. Waits until each has answered once, for at most `limit`; for all that
    /// answer, where none is wanted. What an answer says of itself is no more than its build and its protocol: each program is asked
    /// where it alone listens.
    ///
    /// # Errors
    /// A connection that is lost; a user who may not ask.
    pub async fn presence(&self, wanted: &[Program], limit: Duration) -> Result<Vec<Present>, Error> {
        let all = if wanted.is_empty() { &Program::ALL } else { wanted };
        if let Some(present) = self.ask_for_presence(all, !wanted.is_empty(), limit).await? {
            return Ok(present);
        }
        // One of them has an answer that can't be read: it is as good as none, and costs the others nothing.
        let mut present = Vec::new();
        for program in all {
            let told = self.ask_for_presence(&[*program], !wanted.is_empty(), limit).await?;
            present.extend(told.unwrap_or_default());
        }
        Ok(present)
    }

    /// None, where the connection was lost over an answer.
    async fn ask_for_presence(
        &self,
        programs: &[Program],
        once: bool,
        limit: Duration,
    ) -> Result<Option<Vec<Present>>, Error> {
        const DOING: &str = "asking who is there";
        let failed = |message: String| Error::Request { doing: DOING, message };
        let line = self.line().await?;
        let inbox = line.client.new_inbox();
        let refused = self.refusals.of(programs.iter().map(|program| program.asked_for_presence())).next();
        let mut answers =
            line.client.subscribe(format!("{inbox}.*")).await.map_err(|error| failed(error.to_string()))?;
        for program in programs {
            line.client
                .publish_with_reply(
                    program.asked_for_presence(),
                    format!("{inbox}.{program}"),
                    Default::default(),
                )
                .await
                .map_err(|error| failed(error.to_string()))?;
        }
        let (deadline, lost) = (tokio::time::Instant::now() + limit, line.is_lost());
        tokio::pin!(refused, lost);
        let mut present: Vec<Present> = Vec::new();
        while !once || !programs.iter().all(|program| present.iter().any(|there| there.program == *program)) {
            let answer = tokio::select! {
                answer = tokio::time::timeout_at(deadline, answers.next()) => answer,
                subject = &mut refused => return Err(Error::NotAllowed { doing: DOING, subject }),
                () = &mut lost => Ok(None),
            };
            match answer {
                Ok(Some(answer)) => {
                    // A program that nobody runs is answered for by the server, with 503.
                    let Ok(ping) = serde_json::from_slice::<PingResponse>(&answer.payload) else { continue };
                    let asked = |program: &&Program| answer.subject.ends_with(&format!(".{program}"));
                    let Some(program) = programs.iter().copied().find(|program| asked(&program)) else {
                        continue;
                    };
                    let protocol = ping.metadata.get("protocol").and_then(|text| text.parse().ok());
                    let (id, version) = (ping.id, ping.version);
                    present.push(Present { program, id, version, protocol: protocol.unwrap_or_default() });
                }
                Ok(None) => {
                    self.has_ended(&line).await;
                    return Ok(None);
                }
                Err(_) => break,
            }
        }
        Ok(Some(present))
    }

    /// Says that a program is there, until it is told that it is gone: by the connection that may end over a question, and anew then.
    pub(crate) async fn be_present(self, program: Program, version: String, gone: CancellationToken) {
        while !gone.is_cancelled() {
            let said = tokio::select! {
                said = self.announce(program, &version) => said,
                () = gone.cancelled() => return,
            };
            let (line, service) = match said {
                Ok(said) => said,
                Err(error) => {
                    tracing::warn!(%error, "nobody is told that this program is there");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            tokio::select! {
                () = line.is_over() => {
                    self.has_ended(&line).await;
                }
                () = gone.cancelled() => if let Err(error) = service.stop().await {
                    tracing::debug!(%error, "could not say good-bye");
                },
            }
        }
    }

    async fn announce(&self, program: Program, version: &str) -> Result<(Line, Service), Error> {
        let config = Config {
            name: program.binary(),
            description: None,
            version: version.to_owned(),
            stats_handler: None,
            metadata: Some(HashMap::from([("protocol".to_owned(), PROTOCOL.to_string())])),
            queue_group: None,
        };
        let line = self.line().await?;
        let service = line.client.add_service(config).await;
        let failed = |message: String| Error::Request { doing: "saying who is there", message };
        match service {
            Ok(service) => Ok((line, service)),
            Err(error) => {
                self.has_ended(&line).await;
                Err(failed(error.to_string()))
            }
        }
    }
}
