//! The files of the project that an accessory has.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cutover_core::{Accessory, Digest, PlacedFile};

use super::Error;

/// The largest file, in bytes.
const MOST: u64 = 16 << 20;

/// What is put into the container of an accessory.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(Vec<File>);

#[derive(Clone, Debug)]
struct File {
    /// Its path in the container.
    target: String,
    mode: u32,
    content: Vec<u8>,
}

impl Files {
    /// Reads them from the folder of the deploy file.
    pub(super) fn read(folder: &Path, accessory: &Accessory) -> Result<Self, Error> {
        let read = |file: &PlacedFile| {
            let path = folder.join(&file.source);
            let failed =
                |source| Error::File { name: accessory.name.to_string(), path: path.clone(), source };
            let opened = fs::File::open(&path).map_err(failed)?;
            let mode = opened.metadata().map_err(failed)?.permissions().mode() & 0o777;
            let mut content = Vec::new();
            opened.take(MOST + 1).read_to_end(&mut content).map_err(failed)?;
            if content.len() as u64 > MOST {
                return Err(Error::LargeFile { path, most: MOST });
            }
            Ok(File { target: file.target.clone(), mode, content })
        };
        accessory.files.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// What their contents, and who may do what with them, come to, in their order.
    pub(super) fn digests(&self) -> Vec<Digest> {
        let digest = |file: &File| Digest::of(&[&file.mode.to_be_bytes()[..], &file.content].concat());
        self.0.iter().map(digest).collect()
    }

    /// Whether there is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An archive of them, of paths from the root of the container. They are root's, and may be read and written by whom the
    /// project lets.
    pub(super) fn archive(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for file in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(file.content.len() as u64);
            header.set_mode(file.mode);
            archive.append_data(&mut header, file.target.trim_start_matches('/'), file.content.as_slice())?;
        }
        archive.into_inner()
    }
}
