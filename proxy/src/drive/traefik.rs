use std::collections::HashMap;
use std::net::SocketAddr;

use cutover_control::{Refusal, SetStatus};
use tokio::time::{Instant, sleep};

use crate::control::Ledger;
use crate::drive::back_end::{BackEnd, IN_FORCE_LIMIT, LOOK_AGAIN};
use crate::drive::config_file::ConfigFile;
use crate::drive::options::TraefikOptions;
use crate::drive::question::ask;
use crate::drive::traefik_api::RawData;
use crate::drive::traefik_config::TraefikConfig;
use crate::drive::traefik_metrics::{Tally, read};

/// The Traefik of a host: a file in the folder of its file provider, which it takes up by itself, some time later
/// (`providersThrottleDuration`, 2 s). It has happened once its API says so: Traefik makes the API's own handler together
/// with those of its entry points.
///
/// It keeps connections to its targets open for a second that nothing is on; what a displaced target has after that is in
/// flight.
#[derive(Debug)]
pub(super) struct Traefik {
    file: ConfigFile,
    entry_points: Vec<String>,
    api: SocketAddr,
    metrics: SocketAddr,
    /// What it has told, by set.
    counts: HashMap<String, Tally>,
}

impl Traefik {
    pub(super) fn new(options: &TraefikOptions) -> Self {
        Self {
            file: ConfigFile::new(options.drive.conf_dir.join("cutover.yaml")),
            entry_points: options.entry_points.clone(),
            api: options.api,
            metrics: options.metrics.unwrap_or(options.api),
            counts: HashMap::new(),
        }
    }

    async fn await_force(&self, config: &TraefikConfig) -> Result<(), Refusal> {
        let end = Instant::now() + IN_FORCE_LIMIT;
        loop {
            let found = match RawData::ask(self.api).await {
                Ok(raw) if raw.has(config) => match raw.complaint(config) {
                    None => return Ok(()),
                    Some(words) => {
                        let message = format!("Traefik refuses its configuration: {words}");
                        return Err(Refusal::Invalid { message });
                    }
                },
                Ok(_) => "its configuration is still another one: does its file provider watch this folder?"
                    .to_owned(),
                Err(found) => found,
            };
            if Instant::now() >= end {
                let message =
                    format!("Traefik has not taken its configuration up within {IN_FORCE_LIMIT:?}: {found}");
                return Err(Refusal::Unconfirmed { message });
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl BackEnd for Traefik {
    const NAME: &'static str = "Traefik";

    fn check(&self, ledger: &Ledger) -> Result<(), Refusal> {
        TraefikConfig::new(ledger, &self.entry_points).map(drop)
    }

    async fn apply(&mut self, ledger: &Ledger) -> Result<(), Refusal> {
        let config = TraefikConfig::new(ledger, &self.entry_points)?;
        let before = self.file.read().await?;
        if before.as_ref() != Some(&config.text) {
            // Nothing that can't be asked is changed.
            RawData::ask(self.api).await.map_err(|message| Refusal::Unconfirmed { message })?;
            self.file.write(config.text.clone()).await?;
        }
        if let Err(refusal) = self.await_force(&config).await {
            self.file.put_back(before).await;
            return Err(refusal);
        }
        self.counts.retain(|set, _| config.sets.contains(set));
        for set in config.sets {
            self.counts.entry(set).or_default();
        }
        // What it no longer routes it tells once more, and forgets. That is to be seen before it may be routed again. Where it
        // isn't told at all, the next status is refused.
        for _ in 0..2 {
            self.count().await.ok();
        }
        Ok(())
    }

    async fn lingers(&self) -> bool {
        false
    }

    async fn count(&mut self) -> Result<(), Refusal> {
        let told = ask(self.metrics, "/metrics").await.map_err(|found| Refusal::Unconfirmed {
            message: format!("what Traefik counts can't be read, is metrics.prometheus switched on? {found}"),
        })?;
        let mut all = read(&String::from_utf8_lossy(&told));
        for (set, tally) in &mut self.counts {
            tally.take(all.remove(set));
        }
        Ok(())
    }

    fn fill(&self, set: &str, status: &mut SetStatus) {
        if let Some(counts) = self.counts.get(set) {
            counts.fill(status);
        }
    }
}
