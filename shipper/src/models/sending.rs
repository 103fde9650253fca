//! One model goes to a host.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cutover_core::{Model, Progress, ServiceKey};
use cutover_fleet::Machine;
use cutover_host::Stream;
use cutover_model::{Answer, Assembly, Call, Chunk, MAX_MANIFEST, Manifest, Refusal};
use cutover_registry::Pace;
use cutover_store::{Digest, Store};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::sync::watch;
use tokio::time::timeout;

use super::helper::{Ear, Helper, PIECE, cut};
use super::{ModelError, folder_of, sum};
use crate::Result;

/// Chunks that are read from the store ahead of what is sent: a bucket takes its time for each.
const AHEAD: usize = 4;
/// How long is waited for the reason where the helper takes nothing more.
const REASON_WITHIN: Duration = Duration::from_secs(5);

type Outcome<T> = std::result::Result<T, ModelError>;

/// Has the model whole on the helper's host; answers with the bytes that were sent for that.
pub(super) async fn send(
    helper: &mut Helper<'_>,
    (store, pace): (&Store, &Pace),
    key: &ServiceKey,
    model: &Model,
    progress: &watch::Sender<Progress>,
) -> Result<u64> {
    let machine = helper.machine;
    let way = Way { machine, store, pace, model, progress };
    let asked = SystemTime::now();
    let bytes = match store.get_bytes(&model.version, MAX_MANIFEST as u64).await {
        Ok(bytes) => bytes,
        Err(source) => return Err(way.unsound(&model.version, source, asked).await.into()),
    };
    let wrong = |source| ModelError::Manifest { model: model.name.clone(), source };
    let manifest = Manifest::parse(&bytes).map_err(wrong)?;
    let line = &mut helper.line;
    let version = sum(&model.version).ok_or_else(|| line.not_understood(None))?;
    let call = Assembly { folder: folder_of(key, model), version, manifest: bytes.len() };
    line.say(&Call::Assemble(call), &bytes).await?;
    loop {
        match line.hear().await? {
            Answer::Working { looked } => {
                let step = format!("{} of model {} looked at there", cutover_core::Bytes(looked), model.name);
                progress.send_replace(Progress::Step(step));
            }
            Answer::Whole => return Ok(0),
            Answer::Lacks(ranges) => {
                let chunks = manifest.chunks();
                let numbers = ranges.within(chunks.len()).ok_or_else(|| line.not_understood(None))?;
                let wanted = numbers.into_iter().filter_map(|number| chunks.get(number).copied());
                let (outgoing, ear) = line.split();
                return Ok(way.send_all(wanted.collect(), outgoing, ear).await?);
            }
            Answer::Refused(refusal) => return Err(way.refused(refusal).await.into()),
            Answer::Ready { .. } | Answer::Pruned { .. } => return Err(line.not_understood(None).into()),
        }
    }
}

/// A model, from where to where.
struct Way<'a> {
    machine: &'a Machine,
    store: &'a Store,
    pace: &'a Pace,
    model: &'a Model,
    progress: &'a watch::Sender<Progress>,
}

impl Way<'_> {
    /// Sends the chunks, and waits until the helper has the model whole.
    async fn send_all(
        &self,
        wanted: Vec<Chunk>,
        outgoing: &mut WriteHalf<Stream>,
        mut ear: Ear<'_>,
    ) -> Outcome<u64> {
        let total = wanted.iter().map(|chunk| u64::from(chunk.size)).sum();
        let listening = async {
            loop {
                match ear.hear().await {
                    Ok(Answer::Working { .. }) => {}
                    answer => return answer,
                }
            }
        };
        tokio::pin!(listening);
        let answer = tokio::select! {
            written = self.write(wanted, total, outgoing) => match written {
                Ok(()) => listening.await?,
                // It may have said why.
                Err(error @ ModelError::Cut { .. }) => {
                    let said = timeout(REASON_WITHIN, listening).await.ok().and_then(Outcome::ok);
                    said.ok_or(error)?
                }
                Err(error) => return Err(error),
            },
            answer = &mut listening => answer?,
        };
        match answer {
            Answer::Whole => Ok(total),
            Answer::Refused(refusal) => Err(self.refused(refusal).await),
            _ => Err(ModelError::Answer { host: self.machine.name().clone(), source: None }),
        }
    }

    async fn write(&self, wanted: Vec<Chunk>, total: u64, outgoing: &mut WriteHalf<Stream>) -> Outcome<()> {
        let mut chunks =
            stream::iter(wanted).map(|chunk| async move { self.read(chunk).await }).buffered(AHEAD);
        let lost = |source| cut(self.machine, source);
        let mut done = 0;
        while let Some(mut chunk) = chunks.try_next().await? {
            while !chunk.is_empty() {
                let piece = chunk.split_to(chunk.len().min(PIECE));
                self.pace.take(piece.len()).await;
                outgoing.write_all(&piece).await.map_err(lost)?;
                done += piece.len() as u64;
                self.progress.send_replace(Progress::Bytes { done, total });
            }
        }
        outgoing.flush().await.map_err(lost)
    }

    /// A chunk as the store has it. Whether it is the right one, the helper finds out.
    async fn read(&self, chunk: Chunk) -> Outcome<Bytes> {
        let unstored = |source| self.unstored(source);
        let digest = digest(chunk)
            .map_err(|_| ModelError::Answer { host: self.machine.name().clone(), source: None })?;
        let mut blob = self.store.get_range(&digest, 0..chunk.size.into()).await.map_err(unstored)?;
        let mut content = vec![0; chunk.size as usize];
        let read = blob.read_exact(&mut content).await;
        read.map_err(|error| self.unstored(cutover_store::Error::Read(error)))?;
        Ok(content.into())
    }

    fn unstored(&self, source: cutover_store::Error) -> ModelError {
        let (model, host) = (self.model.name.clone(), self.machine.name().clone());
        ModelError::Store { model, host, source: Box::new(source) }
    }

    /// What the store has of `digest` could not be had; it was `asked` for it then.
    async fn unsound(&self, digest: &Digest, source: cutover_store::Error, asked: SystemTime) -> ModelError {
        if matches!(source, cutover_store::Error::Corrupt { .. }) {
            remove_damaged(self.store, digest, asked).await;
        }
        self.unstored(source)
    }

    async fn refused(&self, refusal: Refusal) -> ModelError {
        let (model, host) = (self.model.name.clone(), self.machine.name().clone());
        match refusal {
            Refusal::Space { free, needed } => ModelError::NoRoom { model, host, free, needed },
            Refusal::Corrupt { wanted, .. } => {
                // Has it changed on the way, or in the store?
                let asked = SystemTime::now();
                if let Ok(digest) = format!("sha256:{wanted}").parse()
                    && let Err(source) = self.store.verify(&digest).await
                {
                    return self.unsound(&digest, source, asked).await;
                }
                ModelError::Refused { model, host, refusal: Box::new(refusal) }
            }
            refusal => ModelError::Refused { model, host, refusal: Box::new(refusal) },
        }
    }
}

/// Removes what is damaged in the store, unless somebody has stored it anew since it was `asked`: whoever looks what is there would
/// take it for whole, and never store it again.
async fn remove_damaged(store: &Store, digest: &Digest, asked: SystemTime) {
    if let Err(error) = store.remove_older(std::slice::from_ref(digest), asked).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(%digest, error, "what is damaged in the artifact store may have stayed there");
    }
}

fn digest(chunk: Chunk) -> std::result::Result<Digest, cutover_core::InvalidDigest> {
    format!("sha256:{}", chunk.sha256).parse()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_damaged_goes_and_what_was_stored_anew_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let before = SystemTime::now();
        let digest = store.put_bytes(b"chunk").await.unwrap();
        remove_damaged(&store, &digest, before).await;
        assert!(store.contains(&digest).await.unwrap());
        std::fs::write(folder.path().join("blobs/sha256").join(digest.hex()), "chunc").unwrap();
        remove_damaged(&store, &digest, SystemTime::now()).await;
        assert!(!store.contains(&digest).await.unwrap());
    }
}
