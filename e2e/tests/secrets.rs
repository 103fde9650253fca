//! Secrets from stores on their way into containers, and that they are nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::{BusUser, Outcome, Program, Stage, Task};
use cutover_e2e::{App, ControlPlane, Ended, Host, Project, SecretStores};
use support::{Expect, Scene};

/// A secret, and all that it could be written as.
struct Canary {
    value: String,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn new(name: &str) -> Self {
        let value = format!("{name}/{:032x}", fastrand::u128(..));
        // With what may stand before it, all of its places within groups of three bytes; what depends on its neighbours is left out.
        let base64 = (0..3).map(|before| {
            let text = [vec![b' '; before], value.clone().into_bytes()].concat();
            base64(text.get(..text.len() / 3 * 3).unwrap()).split_off(4).into_bytes()
        });
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        let percent = value.replace('/', "%2F");
        let plain = [value.clone(), hex, percent].map(String::into_bytes);
        let forms = plain.into_iter().chain(base64).collect();
        Self { value, forms }
    }

    fn is_in(&self, content: &[u8]) -> bool {
        self.forms.iter().any(|form| memchr::memmem::find(content, form).is_some())
    }
}

/// RFC 4648, of whole groups.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let number = group.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[number >> shift & 63]))
    };
    bytes.chunks(3).flat_map(group).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let below = |entry: fs::DirEntry| {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path())
        } else if kind.is_file() {
            vec![entry.path()]
        } else {
            Vec::new()
        }
    };
    entries.flat_map(below).collect()
}

/// The arguments of all processes; those that end meanwhile are left out.
fn arguments() -> Vec<Vec<u8>> {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    processes.filter_map(|path| fs::read(path).ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_gets_from_its_store_into_containers_and_nowhere_else() {
    let stores = SecretStores::start().unwrap();
    let host = Host::up(&format!("secrets-{}", std::process::id())).unwrap();
    let variables = stores.environment("vault://kv/shop/*, aws-sm://prod/shop");
    let plane = ControlPlane::up_with(&[&host], variables).unwrap();
    let scene = Scene { project: Project::new().unwrap(), plane, host, others: Vec::new() };
    let [old, new, token, forbidden] = ["old", "new", "token", "forbidden"].map(Canary::new);
    stores.put_in_vault("shop/db", "password", &old.value).unwrap();
    stores.put_in_vault("bank/db", "password", &forbidden.value).unwrap();
    stores.put_in_aws("prod/shop", &format!("{{\"token\": \"{}\"}}", token.value)).unwrap();
    let app = |version: &str, env: &'static str| App { probes: vec![env], ..scene.app(version) };
    let both = "env: {secret: {PASSWORD: 'vault://kv/shop/db#password', TOKEN: 'aws-sm://prod/shop#token'}}";
    scene.project.write(&app("v1", both)).unwrap();
    let mut said = vec![scene.cutover(&["setup"])];
    said.push(scene.deploy(&app("v1", both)));
    said.iter().for_each(Expect::succeeded);
    scene.serves("v1").await;
    let environments = || {
        let replicas = scene.replicas();
        let inspect = ["docker", "inspect", "--format", "{{json .Config.Env}}"];
        let command: Vec<&str> = inspect.into_iter().chain(replicas.iter().map(String::as_str)).collect();
        scene.host.exec(&command).unwrap().into_bytes()
    };
    assert!(old.is_in(&environments()) && token.is_in(&environments()));

    let load = scene.load();
    for (version, env, why) in [
        ("v2", "env: {secret: {PASSWORD: 'vault://kv/bank/db#password'}}", "CUTOVER_SECRETS_ALLOW"),
        ("v3", "env: {secret: {PASSWORD: 'vault://kv/shop/db#pasword'}}", "no field of that name"),
        (
            "v4",
            "env: {secret: {PASSWORD: 'vault://kv/shop/cache#password'}}",
            "vault://kv/shop/cache#password",
        ),
    ] {
        let refused = scene.deploy(&app(version, env));
        refused.exited(4, &[why]);
        said.push(refused);
    }
    scene.serves("v1").await;

    // Another value: the same release, with containers that are made anew, whatever became of its source.
    stores.put_in_vault("shop/db", "password", &new.value).unwrap();
    fs::remove_file(scene.project.folder().join("Dockerfile")).unwrap();
    let before = scene.replicas();
    let rotated = scene.cutover(&["deploy", "--refresh-secrets"]);
    rotated.succeeded();
    said.push(rotated);
    let ended = scene.until(|current| current.outcome().is_some()).await;
    assert_eq!((ended.outcome(), ended.plan.release.version.as_str()), (Some(Outcome::Live), "v1"));
    let is_idle = |task: &Task| !ended.state(task).was_claimed();
    assert!(
        [Stage::Build, Stage::Ship]
            .into_iter()
            .flat_map(|stage| ended.plan.tasks_of(stage))
            .all(|task| is_idle(&task))
    );
    assert!(scene.replicas().iter().all(|replica| !before.contains(replica)));
    scene.serves("v1").await;
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(new.is_in(&environments()) && !old.is_in(&environments()));
    said.extend(
        [&["status"][..], &["plan", "--json"], &["history", "--json"]].map(|verb| scene.cutover(verb)),
    );

    let kept = files(scene.plane.home());
    // The search finds what is there: the journal has the reference, in the clear.
    let has_reference = |path: &PathBuf| {
        memchr::memmem::find(&fs::read(path).unwrap(), b"vault://kv/shop/db#password").is_some()
    };
    let journal = kept.iter().filter(|path| path.extension().is_some_and(|extension| extension == "blk"));
    assert!(journal.into_iter().any(has_reference), "{kept:?}");
    for canary in [&old, &new, &token, &forbidden] {
        for path in &kept {
            assert!(
                !canary.is_in(&fs::read(path).unwrap_or_default()),
                "{} in {}",
                canary.value,
                path.display()
            );
        }
        for arguments in arguments() {
            assert!(!canary.is_in(&arguments), "{} in {}", canary.value, String::from_utf8_lossy(&arguments));
        }
        for ended in &said {
            assert!(!canary.is_in(format!("{}{}", ended.out, ended.err).as_bytes()), "{}", canary.value);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_needs_a_secret_says_whether_it_is_there_and_nobody_says_which_one() {
    let stores = SecretStores::start().unwrap();
    let secret = Canary::new("value");
    let mut variables = stores.environment("vault://kv/shop/*, aws-sm://prod/shop");
    variables.push(("DATABASE_URL", secret.value.clone()));
    let host = Host::up(&format!("check-{}", std::process::id())).unwrap();
    let plane = ControlPlane::up_with(&[&host], variables).unwrap();
    let project = Project::new().unwrap();
    stores.put_in_vault("shop/db", "password", &secret.value).unwrap();
    stores.put_in_vault("bank/db", "password", &secret.value).unwrap();
    stores.put_in_aws("prod/shop", &format!("{{\"token\": \"{}\"}}", secret.value)).unwrap();
    let mut said = Vec::new();
    let mut check = |secrets: &str, arguments: &[&str]| {
        let env = format!("env: {{secret: {{{secrets}}}}}").leak();
        let database = Some("env://DATABASE_URL".to_owned());
        let app = App { probes: vec![env], database, ..App::new("v1", &[&host.address]) };
        project.write(&app).unwrap();
        let arguments = [&["secrets", "check"], arguments].concat();
        let ended = plane.run(project.folder(), &arguments).unwrap();
        said.push(format!("{}{}", ended.out, ended.err));
        ended
    };
    let good = "PASSWORD: 'vault://kv/shop/db#password', TOKEN: 'aws-sm://prod/shop#token'";
    check(good, &[]).exited(
        0,
        &[
            "  ok  env.secret.PASSWORD  vault://kv/shop/db#password  shipper: found, version 1\n",
            "  ok  env.secret.TOKEN  aws-sm://prod/shop#token  shipper: found",
            "  ok  migrations.database  env://DATABASE_URL  here: found\n",
        ],
    );
    check(
        "A: 'vault://kv/shop/db#pasword', B: 'vault://kv/bank/db#password', C: 'vault://kv/shop/cache#password', D: env://NOWHERE",
        &[],
    )
    .exited(
        2,
        &[
            "  --  env.secret.A  vault://kv/shop/db#pasword  shipper: the secret is there, and has no field of that name\n",
            "  --  env.secret.B  vault://kv/bank/db#password  shipper: the operator has not allowed it",
            "  --  env.secret.C  vault://kv/shop/cache#password  shipper: ",
            "  --  env.secret.D  env://NOWHERE  here: the variable is not set",
            "  ok  migrations.database",
            "error: 4 of 5 secrets have no value where it is needed",
        ],
    );
    check(good, &["elsewhere"]).exited(2, &["elsewhere"]);
    drop(stores);
    check("PASSWORD: 'vault://kv/shop/db#password'", &["--json"]).exited(
        7,
        &[
            r#""key":"env.secret.PASSWORD","reference":"vault://kv/shop/db#password","reader":"shipper""#,
            r#""retry":true"#,
        ],
    );
    for said in said {
        assert!(!secret.is_in(said.as_bytes()), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_person_has_is_sealed_and_stays_with_its_release() {
    let host = Host::up(&format!("sealed-{}", std::process::id())).unwrap();
    let plane = ControlPlane::up_secured(&[&host]).unwrap();
    let scene = Scene { project: Project::new().unwrap(), plane, host, others: Vec::new() };
    let [old, new, printed, set] = ["old", "new", "printed", "set"].map(Canary::new);
    let folder = tempfile::tempdir().unwrap();
    let (file, to_print) = (folder.path().join("key"), folder.path().join("to print"));
    fs::write(&file, &old.value).unwrap();
    fs::write(&to_print, format!("{}\n", printed.value)).unwrap();
    let secrets = format!(
        "env: {{secret: {{KEY: 'file://{}', PRINTED: \"cmd://cat '{}'\", SET: env://PERSONS_VALUE}}}}",
        file.display(),
        to_print.display()
    );
    let secrets: &'static str = secrets.leak();
    let app = |version: &str, env: &'static str| App { probes: vec![env], ..scene.app(version) };
    // The programs were started without the variable: the one that is set is that of the command.
    let with_value = |arguments: &[&str]| {
        let mut command = scene.plane.command(scene.project.folder(), arguments);
        let output = command.env("PERSONS_VALUE", &set.value).output().unwrap();
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    };
    let environments = || {
        let replicas = scene.replicas();
        let inspect = ["docker", "inspect", "--format", "{{json .Config.Env}}"];
        let command: Vec<&str> = inspect.into_iter().chain(replicas.iter().map(String::as_str)).collect();
        scene.host.exec(&command).unwrap().into_bytes()
    };

    scene.project.write(&app("v1", secrets)).unwrap();
    let mut said = vec![scene.cutover(&["setup"])];
    let refused = scene.cutover(&["deploy"]);
    refused.exited(2, &["env.secret.SET: env://PERSONS_VALUE: the variable is not set"]);
    said.push(refused);
    said.push(with_value(&["secrets", "check"]));
    said.last().unwrap().exited(0, &["  ok  env.secret.PRINTED  cmd://cat '", "'  here: found\n"]);
    said.push(with_value(&["deploy", "--version", "v1"]));
    said.last().unwrap().succeeded();
    scene.serves("v1").await;
    assert!([&old, &printed, &set].into_iter().all(|canary| canary.is_in(&environments())));

    // Each release has its own; to go back to one needs nothing of it here.
    let load = scene.load();
    fs::write(&file, &new.value).unwrap();
    scene.project.write(&app("v2", secrets)).unwrap();
    said.push(with_value(&["deploy", "--version", "v2"]));
    said.last().unwrap().succeeded();
    assert!(new.is_in(&environments()) && !old.is_in(&environments()));
    fs::remove_file(&file).unwrap();
    said.push(scene.cutover(&["rollback"]));
    said.last().unwrap().succeeded();
    scene.serves("v1").await;
    assert!(old.is_in(&environments()) && !new.is_in(&environments()));

    // Nothing is looked up here that only the journal names.
    fs::write(&file, &new.value).unwrap();
    scene.project.write(&app("v1", "env: {secret: {SET: env://PERSONS_VALUE}}")).unwrap();
    said.push(with_value(&["deploy", "--refresh-secrets"]));
    said.last().unwrap().exited(2, &["file://", "cmd://cat", "which this deploy file doesn't name"]);
    scene.project.write(&app("v1", secrets)).unwrap();
    said.push(with_value(&["deploy", "--refresh-secrets"]));
    said.last().unwrap().succeeded();
    assert!(new.is_in(&environments()) && !old.is_in(&environments()));
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    said.push(with_value(&["plan", "--json"]));
    said.push(scene.cutover(&["history", "--json"]));

    // What was sealed to a key that is no more is known before anything is done, and sealed anew.
    let shipper = BusUser::Program(Program::Shipper);
    fs::remove_file(scene.plane.key_of(shipper).unwrap()).unwrap();
    scene.plane.restart().unwrap();
    let refused = scene.cutover(&["rollback"]);
    refused.exited(2, &["can't open what was sealed before: env.secret.KEY for the shipper"]);
    scene.serves("v1").await;
    said.push(with_value(&["deploy", "--version", "v1"]));
    said.last().unwrap().succeeded();
    assert!(!said.last().unwrap().out.contains("nothing to do"));
    assert!(new.is_in(&environments()));

    for canary in [&old, &new, &printed, &set] {
        for path in files(scene.plane.home()) {
            assert!(
                !canary.is_in(&fs::read(&path).unwrap_or_default()),
                "{} in {}",
                canary.value,
                path.display()
            );
        }
        for arguments in arguments() {
            assert!(!canary.is_in(&arguments), "{} in {}", canary.value, String::from_utf8_lossy(&arguments));
        }
        for ended in &said {
            assert!(!canary.is_in(format!("{}{}", ended.out, ended.err).as_bytes()), "{}", canary.value);
        }
    }
}
