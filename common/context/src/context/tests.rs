use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    folder
}

fn context(folder: &Path, dockerfile: &str) -> Context {
    Context::new(folder, dockerfile, &folder.join("cutover.yaml")).unwrap()
}

fn packed(folder: &Path, dockerfile: &str) -> Vec<u8> {
    context(folder, dockerfile).pack(Vec::new()).unwrap().0
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

#[test]
fn an_unchanged_folder_has_the_same_archive_whatever_its_times() {
    let files = [("Dockerfile", "FROM scratch"), ("b/2", "two"), ("b/1", "one"), ("a", "a")];
    let mut reversed = files;
    reversed.reverse();
    let (one, other) = (folder(&files), folder(&reversed));
    let later = SystemTime::now() + Duration::from_secs(3600);
    File::open(other.path().join("a")).unwrap().set_modified(later).unwrap();
    assert_eq!(packed(one.path(), "Dockerfile"), packed(other.path(), "Dockerfile"));
    assert_eq!(names(&packed(one.path(), "Dockerfile")), ["Dockerfile", "a", "b/", "b/1", "b/2"]);
}

#[test]
fn content_and_modes_count_and_owners_do_not() {
    let folder = folder(&[("Dockerfile", "FROM scratch"), ("run", "#!/bin/sh")]);
    let before = packed(folder.path(), "Dockerfile");
    fs::set_permissions(folder.path().join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    let after = packed(folder.path(), "Dockerfile");
    assert_ne!(before, after);
    for entry in tar::Archive::new(after.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        if entry.path().unwrap() == Path::new("run") {
            assert_eq!(header.mode().unwrap(), 0o755);
        }
    }
}

#[test]
fn links_are_kept_and_never_followed() {
    let outside = folder(&[("secret", "hunter2")]);
    let inside = folder(&[("Dockerfile", "FROM scratch")]);
    symlink(outside.path(), inside.path().join("folder")).unwrap();
    symlink("nowhere", inside.path().join("broken")).unwrap();
    let archive = packed(inside.path(), "Dockerfile");
    assert_eq!(names(&archive), ["Dockerfile", "broken", "folder"]);
    assert!(!String::from_utf8_lossy(&archive).contains("hunter2"));
    let mut archive = tar::Archive::new(archive.as_slice());
    let links: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().link_name().unwrap().map(|to| to.into_owned()))
        .collect();
    assert_eq!(links, [None, Some(PathBuf::from("nowhere")), Some(outside.path().to_owned())]);
}

#[test]
fn the_dockerfile_is_there_even_where_it_is_left_out() {
    let files = [
        (".dockerignore", "*\n"),
        ("docker/Dockerfile", "FROM scratch"),
        ("docker/other", ""),
        ("app", ""),
        ("cutover.yaml", "service: app"),
    ];
    assert_eq!(names(&packed(folder(&files).path(), "docker/Dockerfile")), ["docker/Dockerfile"]);
}

#[test]
fn patterns_beside_the_dockerfile_come_before_those_of_the_context() {
    let files = [
        (".dockerignore", "one"),
        ("web.Dockerfile", "FROM scratch"),
        ("web.Dockerfile.dockerignore", "two\n*.dockerignore"),
        ("one", ""),
        ("two", ""),
    ];
    assert_eq!(names(&packed(folder(&files).path(), "./web.Dockerfile")), ["one", "web.Dockerfile"]);
}

#[test]
fn a_dockerfile_must_be_in_the_context() {
    let outer = folder(&[("Dockerfile", "FROM scratch"), ("app/main", "")]);
    for dockerfile in ["Dockerfile", "../Dockerfile"] {
        let error = Context::new(&outer.path().join("app"), dockerfile, Path::new("none")).unwrap_err();
        assert!(matches!(error, Error::NoDockerfile { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_store_keeps_it_under_the_digest_that_was_foretold() {
    let folder = folder(&[("Dockerfile", "FROM scratch"), ("large", &"x".repeat(3 * CHUNK + 7))]);
    let at = tempfile::tempdir().unwrap();
    let store = Store::open(at.path()).await.unwrap();
    let context = context(folder.path(), "Dockerfile");
    let (stored, bulk) = context.clone().store(&store).await.unwrap();
    assert_eq!((stored.clone(), bulk), context.digest().await.unwrap());
    assert!(store.contains(&stored).await.unwrap());
}

#[test]
fn patterns_and_a_dockerfile_that_lead_to_other_files_are_not_read() {
    let outside = folder(&[("secret", "hunter2[")]);
    for (target, name) in [
        (outside.path().join("secret"), ".dockerignore"),
        ("/dev/zero".into(), ".dockerignore"),
        ("/dev/zero".into(), "Dockerfile.dockerignore"),
        (outside.path().to_owned(), ".dockerignore"),
    ] {
        let inside = folder(&[("Dockerfile", "FROM scratch")]);
        symlink(target, inside.path().join(name)).unwrap();
        let error = context(inside.path(), "Dockerfile").pack(Vec::new()).map(drop).unwrap_err();
        assert!(matches!(&error, Error::Outside { path, .. } if path.ends_with(name)), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    let inside = folder(&[("Dockerfile", "FROM scratch"), ("ignored", "a\n"), ("a", ""), ("b", "")]);
    symlink("ignored", inside.path().join(".dockerignore")).unwrap();
    assert_eq!(names(&packed(inside.path(), "Dockerfile")), [".dockerignore", "Dockerfile", "b", "ignored"]);

    // The link was made once the context was looked at.
    let inside = folder(&[("Dockerfile", "FROM scratch")]);
    let context = context(inside.path(), "Dockerfile");
    fs::remove_file(inside.path().join("Dockerfile")).unwrap();
    symlink("/dev/zero", inside.path().join("Dockerfile")).unwrap();
    assert!(matches!(context.dockerfile(), Err(Error::Outside { .. })));
}

#[test]
fn a_dockerfile_and_patterns_without_end_are_refused() {
    let long = "#".repeat(usize::try_from(TEXT_LIMIT).unwrap());
    let inside = folder(&[("Dockerfile", &long), (".dockerignore", &long)]);
    let within = context(inside.path(), "Dockerfile");
    assert_eq!(within.dockerfile().unwrap().len(), long.len());
    within.pack(Vec::new()).map(drop).unwrap();
    for name in ["Dockerfile", ".dockerignore"] {
        fs::write(inside.path().join(name), format!("{long}#")).unwrap();
    }
    assert!(matches!(within.dockerfile(), Err(Error::LargeText(_))));
    assert!(matches!(within.pack(Vec::new()), Err(Error::LargeText(_))));
}

#[test]
fn what_is_no_file_is_left_out_and_not_waited_for() {
    let inside = folder(&[("Dockerfile", "FROM scratch")]);
    let _socket = std::os::unix::net::UnixListener::bind(inside.path().join("socket")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(inside.path().join("pipe")).status().unwrap();
    assert!(pipe.success());
    assert_eq!(names(&packed(inside.path(), "Dockerfile")), ["Dockerfile"]);
}
