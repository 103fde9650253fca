//! The embedded control plane, with a real NATS server: it outlives the command that started it, is started once, comes
//! back after a crash of its supervisor, and keeps its journal.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use cutover_bus::{Access, Bus, Files, Key};
use cutover_core::{BusUser, JournalId, Program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

/// Where `scripts/install.sh` puts it.
const INSTALLED: &str = "/usr/local/lib/cutover/nats-server";

/// A control plane of NATS alone: the programs are other packages, which this test can't build.
struct ControlPlane {
    home: tempfile::TempDir,
    nats_server: PathBuf,
}

/// What `supervisor.json` says, as far as it matters here.
#[derive(Deserialize)]
struct Record {
    supervisor: i32,
    control_plane: Url,
}

#[derive(Deserialize)]
struct Url {
    url: String,
}

impl ControlPlane {
    fn new() -> Self {
        Self::with(nats_server())
    }

    fn with(nats_server: PathBuf) -> Self {
        Self { home: tempfile::tempdir().unwrap(), nats_server }
    }

    fn cutover(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command.env_remove("NATS_URL").arg("--home").arg(self.home.path());
        command
    }

    fn up(&self, options: &[&str]) -> Command {
        let mut command = self.cutover();
        command.arg("up").arg("--nats-server").arg(&self.nats_server).args(options);
        for program in Program::ALL {
            command.arg("--scale").arg(format!("{program}=0"));
        }
        command
    }

    fn record(&self) -> Record {
        serde_json::from_slice(&std::fs::read(self.home.path().join("supervisor.json")).unwrap()).unwrap()
    }

    async fn journal(&self) -> JournalId {
        let bus = Bus::connect(&self.record().control_plane.url, "test").await.unwrap();
        bus.open().await.unwrap().id().clone()
    }

    /// Waits until the NATS server accepts connections again.
    async fn answers(&self) {
        let url = self.record().control_plane.url;
        let wait = async {
            while Bus::connect(&url, "test").await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    }

    fn nats_pid(&self) -> i32 {
        std::fs::read_to_string(self.home.path().join("nats.pid")).unwrap().trim().parse().unwrap()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // Only a test that failed has something to stop here.
        let _ = self.cutover().arg("down").output();
    }
}

fn nats_server() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    let named = std::env::var_os("CUTOVER_NATS_SERVER").map(PathBuf::from);
    let known = named.into_iter().chain([PathBuf::from(INSTALLED)]).chain(in_path);
    known.into_iter().find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("there is no nats-server: run scripts/install.sh, or name one in CUTOVER_NATS_SERVER")
    })
}

fn success(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{said}");
    said
}

fn is_alive(pid: i32) -> bool {
    // What has ended stays as a zombie where nobody reaps orphans.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn a_secured_one_tells_its_users_apart_and_stays_so() {
    let control_plane = ControlPlane::new();
    success(&mut control_plane.up(&[]));
    let before = control_plane.journal().await;
    let open = control_plane.record().control_plane.url;
    success(&mut control_plane.up(&["--secure", "--restart"]));
    success(&mut control_plane.up(&["--restart"]));
    let url = control_plane.record().control_plane.url;
    assert!(url.starts_with("tls://"), "{url}");
    assert!(Bus::connect(&open, "test").await.is_err() && Bus::connect(&url, "test").await.is_err());

    let folder = control_plane.home.path().join("bus");
    let enter = async |user: &str| {
        let (key, roots) = (folder.join(format!("{user}.key")), folder.join("ca.pem"));
        let files = Files { key: Some(key.as_os_str()), roots: Some(roots.as_os_str()), ..Files::default() };
        Bus::enter(&Access::by(&url, files).unwrap(), "test").await
    };
    // The trigger reads nothing.
    for user in BusUser::ALL.into_iter().filter(|user| *user != BusUser::Trigger) {
        let journal = enter(user.as_str()).await.unwrap().open().await.unwrap();
        assert_eq!(*journal.id(), before, "the journal is the one that was there");
    }
    // What only looks may look, and no key of an earlier control plane opens this one.
    assert!(success(control_plane.cutover().arg("status")).contains("nothing"));
    std::fs::write(folder.join("operator.key"), Key::new(BusUser::Operator).to_text()).unwrap();
    assert!(enter("operator").await.is_err());
    success(control_plane.cutover().arg("down"));
}

#[test]
fn other_keys_are_put_in_force_by_a_command_that_says_so_and_by_no_old_file() {
    let control_plane = ControlPlane::new();
    success(&mut control_plane.up(&["--secure"]));
    let url = control_plane.record().control_plane.url;
    let (old, new) = (control_plane.home.path().join("bus"), control_plane.home.path().join("new"));
    success(control_plane.cutover().arg("keys").arg(&old));
    // The same keys but the builder's, for the same server.
    std::fs::create_dir(&new).unwrap();
    for file in old.read_dir().unwrap().map(|file| file.unwrap()) {
        if file.file_name() != "builder.key" {
            std::fs::copy(file.path(), new.join(file.file_name())).unwrap();
        }
    }
    success(control_plane.cutover().arg("keys").arg(&new));
    let standing = |users: &Path| {
        let mut command = control_plane.cutover();
        command.env("NATS_URL", &url).env("CUTOVER_NATS_KEY", old.join("operator.key"));
        command.env("CUTOVER_NATS_CA", old.join("ca.pem")).env("CUTOVER_NATS_USERS", users.join("users.env"));
        command
    };
    let refused = |users: &Path| {
        let said = standing(users).arg("status").output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.contains("(builder)") && said.contains("--in-force"), "{said}");
    };
    success(standing(&old).arg("status"));
    refused(&new);
    let said = success(standing(&old).arg("keys").arg(&new).arg("--in-force"));
    assert!(said.contains("in force"), "{said}");
    success(standing(&new).arg("status"));
    refused(&old);

    // The embedded server takes those of its own folder, once it is started anew; none of them comes back.
    let said = control_plane.up(&["--restart"]).output().unwrap();
    assert!(!said.status.success() && String::from_utf8_lossy(&said.stderr).contains("retired"), "{said:?}");
    std::fs::remove_file(old.join("builder.key")).unwrap();
    success(&mut control_plane.up(&["--restart"]));
    success(control_plane.cutover().arg("down"));
}

#[tokio::test]
async fn it_outlives_its_command_and_keeps_its_journal() {
    let control_plane = ControlPlane::new();
    success(&mut control_plane.up(&[]));
    let journal = control_plane.journal().await;

    let first = control_plane.record().supervisor;
    assert!(success(&mut control_plane.up(&[])).contains("runs already"));
    assert_eq!(control_plane.record().supervisor, first);

    assert!(success(control_plane.cutover().arg("down")).contains("stopped 2 processes"));
    assert!(!is_alive(first) && !is_alive(control_plane.nats_pid()));
    assert!(success(control_plane.cutover().arg("down")).contains("nothing was running"));

    success(&mut control_plane.up(&[]));
    assert_eq!(control_plane.journal().await, journal);
}

#[tokio::test]
async fn its_supervisor_starts_nats_again_and_ignores_the_end_of_a_terminal() {
    let control_plane = ControlPlane::new();
    success(&mut control_plane.up(&[]));
    let (supervisor, killed) = (control_plane.record().supervisor, control_plane.nats_pid());
    kill(Pid::from_raw(supervisor), Signal::SIGHUP).unwrap();
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    control_plane.answers().await;
    assert_ne!(control_plane.nats_pid(), killed);
    assert!(is_alive(supervisor));
}

#[tokio::test]
async fn what_a_killed_supervisor_leaves_is_taken_down_first() {
    let control_plane = ControlPlane::new();
    success(&mut control_plane.up(&[]));
    let journal = control_plane.journal().await;
    let (supervisor, orphan) = (control_plane.record().supervisor, control_plane.nats_pid());
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    // The signal is sent before the process ends.
    let ended = async {
        while is_alive(supervisor) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("a killed process lives on");

    assert!(success(&mut control_plane.up(&[])).contains("killed supervisor"));
    assert!(!is_alive(orphan));
    assert_ne!(control_plane.record().supervisor, supervisor);
    assert_eq!(control_plane.journal().await, journal);
}

#[tokio::test]
async fn two_commands_at_once_start_one() {
    let control_plane = ControlPlane::new();
    let (first, second) = (control_plane.up(&[]), control_plane.up(&[]));
    let start = |mut command: Command| tokio::task::spawn_blocking(move || success(&mut command));
    let (first, second) = tokio::join!(start(first), start(second));
    let said = [first.unwrap(), second.unwrap()].concat();
    assert!(said.contains("starting") && said.contains("runs already"), "{said}");
}

#[tokio::test]
async fn a_secret_that_nobody_has_here_is_refused_and_one_that_somebody_has_is_never_shown() {
    const VARIABLE: &str = "CUTOVER_TEST_KEY";
    let control_plane = ControlPlane::new();
    let deploy_file = control_plane.home.path().join("cutover.yaml");
    let text = format!(
        "service: hello\nimage: hello@sha256:{}\nport: 3000\nreadiness_probe: {{path: /up}}\n\
         env: {{secret: {{KEY: env://{VARIABLE}, OTHER: 'cmd://sh -c \"exit 5\"'}}}}\n\
         destinations: {{production: {{hosts: [198.18.0.1]}}}}\n",
        "0".repeat(64)
    );
    let whole = text.replace("exit 5", "echo hunter3");
    let run = |verb: &[&str], value: Option<&str>, text: &str| {
        std::fs::write(&deploy_file, text).unwrap();
        let mut command = control_plane.cutover();
        command.args(verb).arg("--file").arg(&deploy_file).env_remove(VARIABLE);
        let output = command.envs(value.map(|value| (VARIABLE, value))).output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), text)
    };

    success(&mut control_plane.up(&[]));
    let (code, told) = run(&["deploy"], None, &text);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("env.secret.KEY: env://CUTOVER_TEST_KEY: the variable is not set"), "{told}");
    assert!(told.contains("env.secret.OTHER: cmd://sh -c \"exit 5\": sh failed, exit status: 5"), "{told}");
    // All is there but the programs to carry it out.
    let (code, told) = run(&["deploy"], Some("hunter2"), &whole);
    assert!(code == Some(7) && told.contains("is running"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    let (code, told) = run(&["secrets", "check"], Some("hunter2"), &whole);
    assert!(code == Some(0) && told.contains("env://CUTOVER_TEST_KEY  here: found"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_missing_server_is_named_and_nothing_is_left_behind() {
    let control_plane = ControlPlane::with("/nowhere/nats-server".into());
    let output = control_plane.up(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/nats-server"));
    assert!(!control_plane.home.path().join("supervisor.json").exists());
}
