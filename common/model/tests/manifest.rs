//! A manifest is read as it was written, and none that could do harm is.

#![allow(clippy::unwrap_used, clippy::panic)]

use cutover_model::{Answer, Assembly, Call, Chunk, Error, Manifest, ModelFile, Ranges, Sum};

fn file(path: &str, chunks: &[&[u8]]) -> ModelFile {
    let chunk =
        |content: &&[u8]| Chunk { sha256: Sum::of(content), size: u32::try_from(content.len()).unwrap() };
    let whole = chunks.concat();
    ModelFile {
        path: path.to_owned(),
        size: whole.len() as u64,
        sha256: Sum::of(&whole),
        chunks: chunks.iter().map(chunk).collect(),
    }
}

#[test]
fn the_same_files_are_the_same_bytes_in_whichever_order_they_come() {
    let (one, other) = (file("weights/model.bin", &[b"aa", b"b", b"aa"]), file("config.json", &[b"{}"]));
    let manifest = Manifest::new(vec![one.clone(), other.clone()]).unwrap();
    let bytes = manifest.to_bytes().unwrap();
    assert_eq!(bytes, Manifest::new(vec![other, one]).unwrap().to_bytes().unwrap());
    assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
    assert_eq!(manifest.size(), 7);
    let chunks: Vec<Sum> = manifest.chunks().into_iter().map(|chunk| chunk.sha256).collect();
    assert_eq!(chunks, [Sum::of(b"{}"), Sum::of(b"aa"), Sum::of(b"b")]);
}

#[test]
fn an_empty_file_is_one() {
    assert_eq!(Manifest::new(vec![file("empty", &[])]).unwrap().size(), 0);
}

#[test]
fn what_leads_out_of_its_folder_is_refused() {
    for path in ["../passwd", "/etc/passwd", "a//b", "a/./b", "a/../../b", "", "a/", "a\0b"] {
        assert!(matches!(Manifest::new(vec![file(path, &[b"x"])]), Err(Error::Path(_))), "{path:?}");
    }
    let long = "n".repeat(256);
    assert!(matches!(Manifest::new(vec![file(&long, &[b"x"])]), Err(Error::Path(_))));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let twice = Manifest::new(vec![file("a", &[b"x"]), file("a", &[b"y"])]);
    assert!(matches!(twice, Err(Error::Order(_))));
    let both = Manifest::new(vec![file("a", &[b"x"]), file("a.b", &[b"x"]), file("a/b", &[b"y"])]);
    assert!(matches!(both, Err(Error::FileAndFolder(path)) if path == "a"));
    let short = ModelFile { size: 3, ..file("a", &[b"x"]) };
    assert!(matches!(Manifest::new(vec![short]), Err(Error::Chunks(_))));
    assert!(matches!(Manifest::new(Vec::new()), Err(Error::Empty)));
    assert!(matches!(Manifest::parse(br#"{"format":2,"files":[]}"#), Err(Error::Format(2))));
    assert!(Manifest::parse(br#"{"format":1,"files":[{"path":"a"}]}"#).is_err());
}

#[test]
fn a_sum_has_one_notation() {
    let sum = Sum::of(b"x").to_string();
    assert_eq!(sum.parse::<Sum>().unwrap(), Sum::of(b"x"));
    assert!(sum.to_uppercase().parse::<Sum>().is_err() && sum[1..].parse::<Sum>().is_err());
}

#[test]
fn what_lacks_is_told_in_ranges() {
    let lacking = [0, 1, 2, 7, 9, 10];
    let ranges: Ranges = lacking.into_iter().collect();
    let line = Answer::Lacks(ranges.clone()).to_line().unwrap();
    assert_eq!(line, b"{\"lacks\":[[0,3],[7,1],[9,2]]}\n");
    assert_eq!(Answer::parse(&line).unwrap(), Answer::Lacks(ranges.clone()));
    assert_eq!(ranges.within(11).unwrap(), lacking);
    assert_eq!(ranges.within(10), None);
    let Answer::Lacks(falling) = Answer::parse(b"{\"lacks\":[[5,2],[6,1]]}").unwrap() else { panic!() };
    assert_eq!(falling.within(100), None);
}

#[test]
fn a_call_is_a_line() {
    let version = Sum::of(b"x");
    let call = Call::Assemble(Assembly { folder: "production/hello/m".to_owned(), version, manifest: 12 });
    let line = call.to_line().unwrap();
    let text = format!(
        "{{\"assemble\":{{\"folder\":\"production/hello/m\",\"version\":\"{version}\",\"manifest\":12}}}}\n"
    );
    assert_eq!(line, text.as_bytes());
    assert_eq!(Call::parse(&line).unwrap(), call);
}
