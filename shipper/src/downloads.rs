//! What a host's Docker downloads in a pull, as it tells.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;
use cutover_core::Progress;
use cutover_registry::Image;

/// The layers of an image that a host lacks, and how much of each it has by now.
pub(crate) struct Downloads {
    /// The size of each layer, by the name that Docker has for it: the first digits of its digest.
    sizes: BTreeMap<String, u64>,
    done: BTreeMap<String, u64>,
}

impl Downloads {
    pub(crate) fn of(image: &Image) -> Self {
        let sizes = image.layers.iter().map(|layer| (layer.digest.short().to_owned(), layer.size));
        Self { sizes: sizes.collect(), done: BTreeMap::new() }
    }

    /// Takes in what Docker says. Its words are part of no contract: one that isn't known costs a number on the way.
    pub(crate) fn take_in(&mut self, said: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&said.id, &said.status) else { return };
        let Some(&size) = self.sizes.get(id) else { return };
        let current = said.progress_detail.as_ref().and_then(|detail| u64::try_from(detail.current?).ok());
        let done = match status.as_str() {
            "Pulling fs layer" | "Waiting" => 0,
            "Downloading" => current.unwrap_or_default().min(size),
            "Verifying Checksum" | "Download complete" => size,
            _ => return,
        };
        let so_far = self.done.entry(id.clone()).or_default();
        *so_far = done.max(*so_far);
    }

    /// How many bytes have come.
    pub(crate) fn done(&self) -> u64 {
        self.done.values().sum()
    }

    /// The same, of all that the host lacks as far as it has said so.
    pub(crate) fn progress(&self) -> Progress {
        let total = self.done.keys().filter_map(|id| self.sizes.get(id)).sum();
        Progress::Bytes { done: self.done(), total }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn said(id: &str, status: &str, current: Option<i64>) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: Some(ProgressDetail { current, total: None }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn layers_that_are_there_are_no_downloads() {
        let sizes = [("aaaaaaaaaaaa", 100), ("bbbbbbbbbbbb", 50), ("cccccccccccc", 10)];
        let sizes = sizes.map(|(id, size)| (id.to_owned(), size)).into();
        let mut downloads = Downloads { sizes, done: BTreeMap::new() };
        for said in [
            said("v1", "Pulling from acme/hello", None),
            said("aaaaaaaaaaaa", "Already exists", None),
            said("bbbbbbbbbbbb", "Pulling fs layer", None),
            said("cccccccccccc", "Pulling fs layer", None),
            said("cccccccccccc", "Download complete", None),
            said("bbbbbbbbbbbb", "Downloading", Some(20)),
            said("cccccccccccc", "Extracting", Some(3)),
        ] {
            downloads.take_in(&said);
        }
        assert_eq!(downloads.progress(), Progress::Bytes { done: 30, total: 60 });
        downloads.take_in(&said("bbbbbbbbbbbb", "Verifying Checksum", None));
        downloads.take_in(&said("bbbbbbbbbbbb", "Pull complete", None));
        assert_eq!(downloads.done(), 60);
    }
}
