//! What was sealed to a program, and that program.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use cutover_core::{Program, Reference, Sealed, ServiceKey};
use cutover_seal::{Purpose, seal};
use cutover_secrets::{Error, Secret, Stores, Values};
use nkeys::KeyPair;

fn service(name: &str) -> ServiceKey {
    ServiceKey { destination: "production".parse().unwrap(), service: name.parse().unwrap() }
}

fn references() -> [Reference; 3] {
    ["env://PASSWORD", "file:///run/token", "cmd://op read 'op://Shop/key'"].map(|text| text.parse().unwrap())
}

/// A value for each reference but the last, sealed to the shipper.
fn sealed(to: &KeyPair) -> Sealed {
    let mut sealed = Sealed::new();
    for (reference, value) in references().iter().zip(["hunter2", "hunter3"]) {
        let purpose = Purpose { service: &service("shop"), reference };
        sealed.put(reference.clone(), Program::Shipper, seal(value, &to.public_key(), purpose).unwrap());
    }
    sealed
}

fn values(of: &str, sealed: &Sealed, reader: Program, key: Option<&Path>) -> Values {
    let key = key.map(|key| ("CUTOVER_SEALING_KEY".to_owned(), Secret::new(key.display().to_string())));
    Values::with(service(of), sealed.clone(), reader, Stores::with(key))
}

fn key_file(folder: &Path, pair: &KeyPair) -> std::path::PathBuf {
    let path = folder.join("shipper.key");
    std::fs::write(&path, format!("shipper {}\n", pair.seed().unwrap())).unwrap();
    path
}

#[tokio::test]
async fn a_program_has_what_was_sealed_to_it_and_nothing_of_its_own_environment() {
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::new_user();
    let values = values("shop", &sealed(&pair), Program::Shipper, Some(&key_file(folder.path(), &pair)));
    let found = values.find(&references()).await;
    let shown: Vec<Option<&str>> =
        found.iter().map(|found| found.as_ref().ok().map(|found| found.value.expose())).collect();
    assert_eq!(shown, [Some("hunter2"), Some("hunter3"), None]);
    let error = found[2].as_ref().unwrap_err();
    assert_eq!(
        error.to_string(),
        "cmd://op read 'op://Shop/key': the deployment has no value of it for the shipper: deploy again"
    );
    assert!(!format!("{values:?} {found:?}").contains("hunter"));
    // Set by cargo for every test.
    let own = values.resolve(&"env://CARGO_PKG_NAME".parse().unwrap()).await;
    assert!(matches!(own, Err(Error::NotGiven { .. })));
}

#[tokio::test]
async fn nobody_else_has_it_and_no_other_service_either() {
    let folder = tempfile::tempdir().unwrap();
    let (pair, other) = (KeyPair::new_user(), KeyPair::new_user());
    let [password, ..] = references();
    let refused =
        async |of, reader, key| values(of, &sealed(&pair), reader, key).resolve(&password).await.unwrap_err();
    let own = key_file(folder.path(), &pair);
    assert!(matches!(refused("shop", Program::Builder, Some(own.as_path())).await, Error::NotGiven { .. }));
    assert!(matches!(refused("bank", Program::Shipper, Some(own.as_path())).await, Error::Sealed { .. }));
    assert!(matches!(refused("shop", Program::Shipper, None).await, Error::NoKey));
    let foreign = key_file(folder.path(), &other);
    assert!(matches!(refused("shop", Program::Shipper, Some(foreign.as_path())).await, Error::Sealed { .. }));
    std::fs::write(&foreign, "shipper").unwrap();
    assert!(matches!(
        refused("shop", Program::Shipper, Some(foreign.as_path())).await,
        Error::MalformedKey { .. }
    ));
    assert!(matches!(refused("shop", Program::Shipper, Some(folder.path())).await, Error::Key { .. }));
}
