//! All sources that are listened to, by name.

use std::collections::BTreeMap;
use std::time::Instant;

use cutover_core::{Reference, SourceName};
use cutover_secrets::{Secret, Stores};
use cutover_telemetry::{IntCounterVec, Metrics};

use crate::hook::Hook;
use crate::signature::Key;
use crate::{Error, Source};

/// The sources that are listened to.
pub struct Hooks {
    all: BTreeMap<SourceName, Hook>,
    deliveries: IntCounterVec,
}

impl Hooks {
    /// Finds the secrets of all: those of `env://` and `file://` in the environment and the files of this program.
    ///
    /// # Errors
    /// A secret that has no value, or one that can be guessed.
    pub async fn open(sources: BTreeMap<SourceName, Source>, metrics: &Metrics) -> Result<Self, Error> {
        let help = "Deliveries, by source and by what became of them.";
        let deliveries = metrics.counters("cutover_trigger_deliveries_total", help, &["source", "result"])?;
        let mut all = BTreeMap::new();
        for (name, source) in sources {
            let value = find(&source.secret).await;
            let value = value
                .map_err(|source| Error::Secret { source_name: name.clone(), source: Box::new(source) })?;
            let key = Key::new(value).map_err(|why| Error::WeakSecret { source_name: name.clone(), why })?;
            all.insert(name.clone(), Hook::new(name, source, key, Instant::now()));
        }
        Ok(Self { all, deliveries })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Hook> {
        self.all.get(&name.parse::<SourceName>().ok()?)
    }

    /// Counts what became of a delivery; where the source is none of these, under no name that its sender has made up.
    pub(crate) fn count(&self, name: &str, result: &str) {
        let source = if self.get(name).is_some() { name } else { "" };
        self.deliveries.with_label_values(&[source, result]).inc();
    }
}

async fn find(reference: &Reference) -> Result<Secret, cutover_secrets::Error> {
    if reference.is_persons() {
        return cutover_secrets::read(reference).await;
    }
    let mut found = Stores::from_environment().find([reference]).await;
    match found.pop() {
        Some(found) => found.map(|found| found.value),
        None => Err(cutover_secrets::Error::Empty(reference.clone())),
    }
}
