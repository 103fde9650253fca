//! The bus, the journal and the artifact store that a command works with.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cutover_bus::{Bus, Journal, Present, is_local};
use cutover_core::{BusUser, Digest, Program, Stage};
use cutover_store::{Location, Store};

use crate::args::Global;
use crate::console::Console;
use crate::embedded;
use crate::error::Error;

/// How long programs have to answer that they are there; all that are wanted have, usually, within a millisecond.
const ANSWER: Duration = Duration::from_secs(1);
/// What the server calls this connection.
const NAME: &str = "cutover";

/// A connection to the bus, with its journal.
#[derive(Debug)]
pub(crate) struct Session {
    /// The connection.
    pub(crate) bus: Bus,
    /// The journal.
    pub(crate) journal: Journal,
    store: Location,
    /// Whether the bus is reached over the loopback.
    is_local: bool,
    /// Whether its server is surely the one that is meant.
    is_authentic: bool,
    /// Whether the bus is one of somebody else's, which runs on.
    is_standing: bool,
    /// Whether the bus tells its users apart.
    tells_apart: bool,
    /// The public keys of the bus's users as this machine knows them; none, where it doesn't.
    keys: Option<BTreeMap<BusUser, String>>,
}

/// Whether nobody can be between this machine and a server: it is on this one, or it is reached over TLS.
fn is_authentic(url: &str) -> bool {
    is_local(url) || url.split(',').all(|url| url.trim().starts_with("tls://"))
}

impl Session {
    /// Connects to the NATS server that was named, or starts what runs on this machine; a new journal is set up.
    ///
    /// # Errors
    /// A server that can't be reached, or that can't be started.
    pub(crate) async fn open(options: &Global, console: Console) -> anyhow::Result<Self> {
        let (access, store, keys) = match &options.nats_url {
            Some(url) => {
                let in_home = || Location::folder(options.home().join("store"));
                let file = options.nats_users.as_ref().filter(|file| !file.is_empty());
                let keys = file.map(|file| embedded::users(Path::new(file))).transpose()?;
                (options.access(url)?, options.store.clone().unwrap_or_else(in_home), keys)
            }
            None => {
                let control_plane = embedded::ensure(&options.home(), &|line| console.note(line)).await?;
                let access = control_plane.access(BusUser::Operator)?;
                let keys = control_plane.public_keys()?;
                (access, Location::folder(control_plane.store), Some(keys))
            }
        };
        let bus = Bus::enter(&access, NAME).await?;
        let journal = match bus.open().await {
            Err(cutover_bus::Error::NotSetUp) => {
                bus.set_up(bus.suitable_copies()).await?;
                console.note("this NATS server had no journal: a new one was set up");
                bus.open().await?
            }
            opened => opened?,
        };
        let journal = match &keys {
            Some(keys) if options.nats_url.is_some() && access.user() == Some(BusUser::Operator) => {
                bus.make_consumers(&journal, Stage::ALL).await?;
                bus.take_signatures_of(keys).await?;
                bus.open().await?
            }
            _ => journal,
        };
        Ok(Self {
            bus,
            journal,
            store,
            is_local: is_local(&access.url),
            is_authentic: is_authentic(&access.url),
            is_standing: options.nats_url.is_some(),
            tells_apart: access.user().is_some(),
            keys,
        })
    }

    /// The same for a command that only looks: on a machine where nothing was ever started, nothing is.
    ///
    /// # Errors
    /// The same, and [`Error::NothingHere`].
    pub(crate) async fn look(options: &Global, console: Console) -> anyhow::Result<Self> {
        if options.nats_url.is_none() && !options.home().exists() {
            return Err(Error::NothingHere.into());
        }
        Self::open(options, console).await
    }

    /// Programs of `needed` that nobody runs, or that somebody runs in a version that doesn't know a protocol: that one would
    /// leave out what it doesn't know from what it hands on.
    ///
    /// # Errors
    /// A connection that is lost.
    pub(crate) async fn absent(
        &self,
        needed: &[Program],
        protocol: u32,
    ) -> Result<Vec<Program>, cutover_bus::Error> {
        let present = self.bus.presence(needed, ANSWER).await?;
        let is_there = |program: Program| {
            let mut all = present.iter().filter(|here| here.program == program).peekable();
            all.peek().is_some() && all.all(|here| here.protocol >= protocol)
        };
        Ok(needed.iter().copied().filter(|program| !is_there(*program)).collect())
    }

    /// All programs that run, each of its instances.
    ///
    /// # Errors
    /// A connection that is lost.
    pub(crate) async fn present(&self) -> Result<Vec<Present>, cutover_bus::Error> {
        self.bus.presence(&[], ANSWER).await
    }

    /// What the bus lets happen that it should not, with what to do about it. One that this machine runs by itself is reached from
    /// this machine alone.
    pub(crate) fn exposures(&self) -> Vec<(String, &'static str)> {
        let mut exposures = Vec::new();
        if self.is_standing && !self.tells_apart {
            let text =
                "tells nobody apart: whoever reaches it may decide, and record what he likes".to_owned();
            exposures.push((text, "cutover keys makes a key for each program (docs/environment.md)"));
        }
        if self.is_standing && !self.is_authentic {
            let text = "is reached without TLS: whoever is in between reads and writes all of it".to_owned();
            exposures.push((text, "tls:// in NATS_URL, and deploy/nats.conf"));
        }
        exposures
    }

    /// The programs' public keys, which values are sealed to: those that this machine knows, or else those that the bus has, where nobody
    /// can be between; else none.
    ///
    /// # Errors
    /// A connection that is lost.
    pub(crate) async fn sealing_keys(&self) -> Result<BTreeMap<Program, String>, cutover_bus::Error> {
        let keys = match &self.keys {
            Some(keys) => keys.clone(),
            // Somebody between could name his own.
            None if !self.is_authentic => BTreeMap::new(),
            None => self.bus.keys_in_force().await?,
        };
        let program = |(user, key)| match user {
            BusUser::Program(program) => Some((program, key)),
            _ => None,
        };
        Ok(keys.into_iter().filter_map(program).collect())
    }

    /// The artifact store.
    ///
    /// # Errors
    /// A folder that can't be made, or that the programs would not see; a bucket that can't be listed.
    pub(crate) async fn store(&self) -> anyhow::Result<Store> {
        self.store.check_reach(self.is_local)?;
        Ok(Store::open(&self.store).await?)
    }

    /// Whether the artifact store has an image, with all of its layers.
    ///
    /// # Errors
    /// A store that can't be read.
    pub(crate) async fn has_image(&self, image: &Digest) -> anyhow::Result<bool> {
        Ok(cutover_registry::is_whole(&self.store().await?, image).await?)
    }

    /// The same of all of these.
    ///
    /// # Errors
    /// A store that can't be reached.
    pub(crate) async fn has_images(&self, images: impl Iterator<Item = &Digest>) -> anyhow::Result<bool> {
        for image in images {
            if !self.has_image(image).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
