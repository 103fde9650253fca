#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use cutover_model::{Answer, Assembly, Call, Chunk, Manifest, ModelFile, Pruning, Refusal, Sum};
use tempfile::TempDir;

use super::connection::Connection;
use super::serve;

const FOLDER: &str = "production/hello/minilm";

/// A model whose chunks are of the test's choosing.
struct Model {
    manifest: Manifest,
    contents: BTreeMap<Sum, Vec<u8>>,
}

impl Model {
    fn new(files: &[(&str, &[&str])]) -> Self {
        let mut contents = BTreeMap::new();
        let mut chunk = |content: &&str| {
            let (sha256, content) = (Sum::of(content.as_bytes()), content.as_bytes().to_vec());
            let size = u32::try_from(content.len()).unwrap();
            contents.insert(sha256, content);
            Chunk { sha256, size }
        };
        let files = files.iter().map(|(path, chunks)| {
            let whole = chunks.concat();
            ModelFile {
                path: (*path).to_owned(),
                size: whole.len() as u64,
                sha256: Sum::of(whole.as_bytes()),
                chunks: chunks.iter().map(&mut chunk).collect(),
            }
        });
        Self { manifest: Manifest::new(files.collect()).unwrap(), contents }
    }

    fn version(&self) -> Sum {
        Sum::of(&self.manifest.to_bytes().unwrap())
    }

    fn place(&self, root: &Path) -> PathBuf {
        root.join(FOLDER).join(self.version().to_string())
    }
}

/// The shipper's side of a helper that works in a folder.
struct Shipper {
    incoming: BufReader<UnixStream>,
    outgoing: UnixStream,
    helper: JoinHandle<std::io::Result<()>>,
}

impl Shipper {
    fn at(root: &Path) -> Self {
        let (own, others) = UnixStream::pair().unwrap();
        let root = root.to_owned();
        let helper = thread::spawn(move || serve(&mut Connection::new(others)?, &root));
        let mut shipper = Self { incoming: BufReader::new(own.try_clone().unwrap()), outgoing: own, helper };
        assert_eq!(shipper.answer(), Answer::Ready { protocol: 1 });
        shipper
    }

    fn ask(&mut self, model: &Model) -> Answer {
        let manifest = model.manifest.to_bytes().unwrap();
        let call = Assembly { folder: FOLDER.to_owned(), version: model.version(), manifest: manifest.len() };
        self.outgoing.write_all(&Call::Assemble(call).to_line().unwrap()).unwrap();
        self.outgoing.write_all(&manifest).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut line = Vec::new();
        self.incoming.read_until(b'\n', &mut line).unwrap();
        Answer::parse(&line).unwrap()
    }

    /// The chunks that an answer asks for.
    fn lacking(model: &Model, answer: &Answer) -> Vec<Sum> {
        let Answer::Lacks(ranges) = answer else { panic!("{answer:?}") };
        let chunks = model.manifest.chunks();
        ranges.within(chunks.len()).unwrap().into_iter().map(|number| chunks[number].sha256).collect()
    }

    fn send(&mut self, model: &Model, chunks: &[Sum]) {
        chunks.iter().for_each(|sum| self.outgoing.write_all(&model.contents[sum]).unwrap());
    }

    /// Has the model whole; answers with the chunks that were sent for that.
    fn bring(&mut self, model: &Model) -> Vec<Sum> {
        let answer = self.ask(model);
        let lacking = Self::lacking(model, &answer);
        self.send(model, &lacking);
        assert_eq!(self.answer(), Answer::Whole);
        lacking
    }

    fn hang_up(self) -> std::io::Result<()> {
        self.outgoing.shutdown(Shutdown::Both).unwrap();
        self.helper.join().unwrap()
    }
}

fn sums(contents: &[&str]) -> Vec<Sum> {
    contents.iter().map(|content| Sum::of(content.as_bytes())).collect()
}

#[test]
fn a_version_is_whole_when_it_has_its_name() {
    let root = TempDir::new().unwrap();
    let model = Model::new(&[("a/weights", &["one", "two", "one"]), ("config", &["{}"]), ("empty", &[])]);
    let mut shipper = Shipper::at(root.path());
    assert_eq!(shipper.bring(&model), sums(&["one", "two", "{}"]));
    let place = model.place(root.path());
    assert_eq!(fs::read_to_string(place.join("a/weights")).unwrap(), "onetwoone");
    assert_eq!(fs::read_to_string(place.join("empty")).unwrap(), "");
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join("a")), mode(&place.join("a/weights"))), (0o555, 0o555, 0o444));
    assert_eq!(shipper.ask(&model), Answer::Whole);
    shipper.hang_up().unwrap();
    let left: Vec<_> =
        fs::read_dir(root.path().join(FOLDER)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn of_another_version_only_what_is_new_travels() {
    let root = TempDir::new().unwrap();
    let old = Model::new(&[("weights", &["one", "two", "three"]), ("words", &["many"])]);
    let new = Model::new(&[("weights", &["one", "2", "three"]), ("vocabulary", &["many"])]);
    let mut shipper = Shipper::at(root.path());
    shipper.bring(&old);
    assert_eq!(shipper.bring(&new), sums(&["2"]));
    let (old, new) = (old.place(root.path()), new.place(root.path()));
    assert_eq!(fs::read_to_string(new.join("weights")).unwrap(), "one2three");
    assert_eq!(fs::read_to_string(old.join("weights")).unwrap(), "onetwothree");
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(old.join("words")), inode(new.join("vocabulary")));
}

#[test]
fn what_is_interrupted_is_gone_on_with() {
    let root = TempDir::new().unwrap();
    let model = Model::new(&[("weights", &["one", "two", "three", "four"])]);
    let mut shipper = Shipper::at(root.path());
    let answer = shipper.ask(&model);
    let lacking = Shipper::lacking(&model, &answer);
    shipper.send(&model, &lacking[..2]);
    shipper.outgoing.write_all(b"thr").unwrap();
    assert!(shipper.hang_up().is_err());
    assert!(!model.place(root.path()).exists());

    // What lies there is believed only as far as it is right.
    let part = root.path().join(FOLDER).join(format!("{}.part/weights", model.version()));
    fs::write(&part, "oNetwo").unwrap();
    let mut shipper = Shipper::at(root.path());
    assert_eq!(shipper.bring(&model), sums(&["one", "three", "four"]));
    assert_eq!(fs::read_to_string(model.place(root.path()).join("weights")).unwrap(), "onetwothreefour");
}

#[test]
fn a_chunk_that_is_another_one_is_refused() {
    let root = TempDir::new().unwrap();
    let model = Model::new(&[("weights", &["one", "two"])]);
    let mut shipper = Shipper::at(root.path());
    shipper.ask(&model);
    shipper.outgoing.write_all(b"oneTwo").unwrap();
    let (wanted, found) = (Sum::of(b"two"), Sum::of(b"Two"));
    assert_eq!(shipper.answer(), Answer::Refused(Refusal::Corrupt { wanted, found }));
    shipper.helper.join().unwrap().unwrap();
    assert!(!model.place(root.path()).exists());
}

#[test]
fn what_has_rotted_in_another_version_is_sent() {
    let root = TempDir::new().unwrap();
    let old = Model::new(&[("weights", &["one", "two"]), ("words", &["many"])]);
    let new = Model::new(&[("weights", &["one", "two", "three"]), ("words", &["many"])]);
    let mut shipper = Shipper::at(root.path());
    shipper.bring(&old);
    for (file, content) in [("weights", "oNetwo"), ("words", "maNy")] {
        fs::remove_file(old.place(root.path()).join(file)).unwrap();
        fs::write(old.place(root.path()).join(file), content).unwrap();
    }
    assert_eq!(shipper.bring(&new), sums(&["one", "three", "many"]));
}

#[test]
fn a_manifest_that_is_another_one_is_refused_as_is_a_folder_elsewhere() {
    let root = TempDir::new().unwrap();
    let model = Model::new(&[("weights", &["one"])]);
    let mut other = Shipper::at(root.path());
    let call = Assembly { folder: FOLDER.to_owned(), version: model.version(), manifest: 2 };
    other.outgoing.write_all(&Call::Assemble(call).to_line().unwrap()).unwrap();
    other.outgoing.write_all(b"{}").unwrap();
    assert!(matches!(other.answer(), Answer::Refused(Refusal::Corrupt { .. })));
    let mut outside = Shipper::at(root.path());
    let call = Call::Prune(Pruning { folder: "../elsewhere".to_owned(), kept: Vec::new() });
    outside.outgoing.write_all(&call.to_line().unwrap()).unwrap();
    assert!(matches!(outside.answer(), Answer::Refused(Refusal::Invalid { .. })));
}

#[test]
fn what_nothing_needs_goes() {
    let root = TempDir::new().unwrap();
    let models: Vec<Model> =
        ["one", "two", "three"].iter().map(|text| Model::new(&[("a/w", &[text])])).collect();
    let mut shipper = Shipper::at(root.path());
    models.iter().for_each(|model| drop(shipper.bring(model)));
    let folder = root.path().join(FOLDER);
    let [left, begun] = ["nobody's", "begun"].map(|text| Sum::of(text.as_bytes()));
    fs::create_dir(folder.join(format!("{left}.part"))).unwrap();
    fs::create_dir(folder.join(format!("{begun}.part"))).unwrap();
    fs::write(folder.join("readme"), "").unwrap();
    let kept = [models[0].version(), begun].map(|version| ("minilm".to_owned(), version)).into();
    let call = Call::Prune(Pruning { folder: "production/hello".to_owned(), kept });
    shipper.outgoing.write_all(&call.to_line().unwrap()).unwrap();
    assert_eq!(shipper.answer(), Answer::Pruned { removed: 2 });
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let live = models[0].version();
    let mut expected =
        vec![format!("{live}"), format!("{live}.json"), format!("{begun}.part"), "readme".into()];
    expected.sort();
    assert_eq!(names, expected);
}
