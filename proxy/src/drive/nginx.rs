use cutover_control::{Refusal, SetStatus};
use tokio::time::{Instant, sleep};

use crate::control::Ledger;
use crate::drive::back_end::{BackEnd, IN_FORCE_LIMIT, LOOK_AGAIN};
use crate::drive::config_file::ConfigFile;
use crate::drive::nginx_config::NginxConfig;
use crate::drive::nginx_log::NginxLog;
use crate::drive::nginx_master::{Master, Worker};
use crate::drive::options::NginxOptions;
use crate::drive::question::ask;
use crate::error::Error;

/// The nginx of a host: a file that it includes, tested by its own program, and taken up by a reload.
///
/// A reload has happened once a new worker answers with the new configuration's name, and every worker from before accepts
/// nothing more. Those end what they have: nginx closes their idle connections at once, but one that was accepted and has said
/// nothing yet may still begin a request there, for 10 s. As long as such a worker is there, what was displaced counts as in
/// use.
#[derive(Debug)]
pub(super) struct Nginx {
    options: NginxOptions,
    file: ConfigFile,
    master: Master,
    log: NginxLog,
}

impl Nginx {
    /// # Errors
    ///
    /// [`Error::Log`] when its log can't be received.
    pub(super) async fn new(options: &NginxOptions) -> Result<Self, Error> {
        Ok(Self {
            options: options.clone(),
            file: ConfigFile::new(options.drive.conf_dir.join("cutover.conf")),
            master: Master::new(options.pid_file.clone(), &options.test),
            log: NginxLog::receive(options.local).await?,
        })
    }

    async fn answers(&self, config: &NginxConfig) -> Result<(), String> {
        let generation = ask(self.options.local, "/").await?;
        if generation == config.generation.as_bytes() {
            Ok(())
        } else {
            Err("its configuration is still another one: its error log says why, if it is not just slow"
                .to_owned())
        }
    }

    /// Whether a reload has happened; `before` are the workers from before it.
    async fn has_reloaded(&self, config: &NginxConfig, before: &[Worker]) -> Result<(), String> {
        self.answers(config).await?;
        let now = self.master.workers()?;
        if before.iter().any(|worker| worker.accepts(&now)) {
            return Err("workers with the configuration before still accept requests".to_owned());
        }
        Ok(())
    }

    /// Has it reload, once more where a reload that another one asked for came between: the workers of that were not among
    /// those from before, and may be told to leave only after the new ones answer.
    async fn reload(&self, config: &NginxConfig) -> Result<(), String> {
        let end = Instant::now() + IN_FORCE_LIMIT;
        loop {
            let before = self.master.workers()?;
            self.master.reload()?;
            while let Err(found) = self.has_reloaded(config, &before).await {
                if Instant::now() >= end {
                    return Err(format!("nginx has not reloaded within {IN_FORCE_LIMIT:?}: {found}"));
                }
                sleep(LOOK_AGAIN).await;
            }
            if accepting(&self.master.workers()?) <= accepting(&before) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(format!("nginx was told to reload by others for {IN_FORCE_LIMIT:?}"));
            }
        }
    }
}

fn accepting(workers: &[Worker]) -> usize {
    workers.iter().filter(|worker| !worker.leaving).count()
}

impl BackEnd for Nginx {
    const NAME: &'static str = "nginx";

    fn check(&self, ledger: &Ledger) -> Result<(), Refusal> {
        NginxConfig::new(ledger, &self.options).map(drop)
    }

    async fn apply(&mut self, ledger: &Ledger) -> Result<(), Refusal> {
        let config = NginxConfig::new(ledger, &self.options)?;
        let before = self.file.read().await?;
        let is_there = before.as_deref() == Some(config.text.as_bytes());
        if is_there && self.answers(&config).await.is_ok() {
            self.log.count(config.sets);
            return Ok(());
        }
        self.master.runs().map_err(|message| Refusal::Unconfirmed { message })?;
        if !is_there {
            self.file.write(config.text.clone().into_bytes()).await?;
        }
        if let Err(words) = self.master.test().await {
            self.file.put_back(before).await;
            return Err(Refusal::Invalid { message: format!("nginx refuses its configuration: {words}") });
        }
        if let Err(message) = self.reload(&config).await {
            self.file.put_back(before).await;
            if let Err(error) = self.master.reload() {
                tracing::warn!(error, "nginx was not told to do as before");
            }
            return Err(Refusal::Unconfirmed { message });
        }
        self.log.count(config.sets);
        Ok(())
    }

    async fn lingers(&self) -> bool {
        // One that doesn't run has no workers either.
        self.master.workers().is_ok_and(|workers| workers.iter().any(|worker| worker.leaving))
    }

    async fn count(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    fn fill(&self, set: &str, status: &mut SetStatus) {
        self.log.fill(set, status);
    }
}
