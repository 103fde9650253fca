//! What a deploy file says of models.

use cutover_core::{Digest, ModelSource, Plan, WantedModel};

use super::{parse, problems, with};

/// The models of the sample.
pub fn sample() -> Vec<WantedModel> {
    let content = Digest::of(b"");
    vec![
        WantedModel {
            name: "minilm".parse().unwrap(),
            source: ModelSource::Bucket("s3://models/minilm?endpoint=https://s3.example.com".into()),
            version: None,
            mount: "/models/minilm".into(),
        },
        WantedModel {
            name: "words".parse().unwrap(),
            source: ModelSource::Web { url: "https://example.com/words.bin".into(), content },
            version: None,
            mount: "/models/words".into(),
        },
    ]
}

#[test]
fn a_destination_has_another_source_or_version_of_the_same_model() {
    let pinned = Digest::of(b"manifest");
    let text = format!(
        "service: hello\nmodels: {{a: {{source: 'https://example.com/a', sha256: {}}}, b: {{source: 'file:b', mount: /b/}}}}\n\
         destinations: {{production: {{hosts: [a], models: {{a: {{source: 's3://models/a'}}, b: {{version: '{pinned}'}}}}}}}}",
        Digest::of(b"").hex()
    );
    let file = parse(&text).unwrap();
    let [a, b] = <[WantedModel; 2]>::try_from(file.targets()[0].models.clone()).unwrap();
    assert_eq!((a.source, a.mount.as_str()), (ModelSource::Bucket("s3://models/a".into()), "/models/a"));
    assert_eq!((b.source, b.mount.as_str()), (ModelSource::Folder("b".into()), "/b"));
    assert_eq!((a.version, b.version), (None, Some(pinned)));
}

#[test]
fn what_is_no_model_is_refused_with_what_would_be_one() {
    let table = [
        ("{a: {mount: /a}}", "no source is given for destination 'production'"),
        ("{a: {source: 'ftp://example.com/a'}}", "write s3://bucket/prefix, https://"),
        ("{a: {source: 'http://example.com/a'}}", "write https://"),
        ("{a: {source: 'https://example.com/a'}}", "no sha256 is given"),
        ("{a: {source: 'https://example.com/a', sha256: abc}}", "64 lowercase hex digits"),
        ("{a: {source: 'file:a', sha256: %}}", "only files on the web have it"),
        ("{a: {source: 'file:'}}", "names no file or folder"),
        ("{a: {source: 's3://?endpoint=http://a'}}", "names no bucket"),
        ("{a: {source: 'file:a', version: v2}}", "write latest, or sha256:"),
        ("{a: {source: 'file:a', mount: models}}", "'models'"),
        ("{a: {source: 'file:a', mount: /m}, b: {source: 'file:b', mount: /m}}", "mounted at /m already"),
        ("{a: {source: 'file:a', path: /m}}", "unknown key"),
        ("{A: {source: 'file:a'}}", "can't be a model"),
    ];
    for (models, expected) in table {
        let models = models.replace('%', Digest::of(b"").hex());
        let found = problems(&format!("models: {models}\n"));
        assert!(found.iter().any(|problem| problem.contains(expected)), "{models}: {found:?}");
    }
}

#[test]
fn a_release_with_a_model_is_not_given_to_older_shippers() {
    let mut settings = with("").settings;
    let plain = serde_json::to_string(&settings).unwrap();
    assert!(!plain.contains("models"), "{plain}");
    let version = Digest::of(b"manifest");
    settings.models =
        vec![cutover_core::Model { name: "a".parse().unwrap(), version, mount: "/a".into(), seen: None }];
    let source = cutover_core::Source::Image("hello".into());
    let release = cutover_core::Release { version: "v1".into(), source, settings, migrations: Vec::new() };
    assert_eq!(Plan::protocol_for(&release), 5);
}
