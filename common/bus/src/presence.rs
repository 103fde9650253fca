//! Who is there: each program is a service of the NATS service API (NATS ADR-32) for as long as it runs.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::service::{Config, PingResponse, Service, ServiceExt};
use cutover_core::{PROTOCOL, Program};
use futures_util::StreamExt;

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
    /// The programs that run. Waits until each of `wanted` has answered once, for at most `limit`.
    ///
    /// # Errors
    /// A connection that is lost.
    pub async fn presence(&self, wanted: &[Program], limit: Duration) -> Result<Vec<Present>, Error> {
        let failed = |message: String| Error::Request { doing: "asking who is there", message };
        let inbox = self.client.new_inbox();
        let mut answers =
            self.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        self.client
            .publish_with_reply("$SRV.PING", inbox, Default::default())
            .await
            .map_err(|error| failed(error.to_string()))?;
        let mut present: Vec<Present> = Vec::new();
        let deadline = tokio::time::Instant::now() + limit;
        while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, answers.next()).await {
            // Other services of the same server may answer too, and a server without any says 503.
            let Ok(ping) = serde_json::from_slice::<PingResponse>(&answer.payload) else { continue };
            let Some(program) = Program::ALL.into_iter().find(|program| program.binary() == ping.name) else {
                continue;
            };
            let protocol =
                ping.metadata.get("protocol").and_then(|text| text.parse().ok()).unwrap_or_default();
            present.push(Present { program, id: ping.id, version: ping.version, protocol });
            if !wanted.is_empty()
                && wanted.iter().all(|wanted| present.iter().any(|there| there.program == *wanted))
            {
                break;
            }
        }
        Ok(present)
    }

    /// Says that a program is there, until the answer is dropped.
    pub(crate) async fn announce(&self, program: Program, version: &str) -> Result<Service, Error> {
        let config = Config {
            name: program.binary(),
            description: None,
            version: version.to_owned(),
            stats_handler: None,
            metadata: Some(HashMap::from([("protocol".to_owned(), PROTOCOL.to_string())])),
            queue_group: None,
        };
        self.client
            .add_service(config)
            .await
            .map_err(|error| Error::Request { doing: "saying who is there", message: error.to_string() })
    }
}
