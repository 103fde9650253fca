use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cutover_bus::Bus;
use cutover_core::{BusUser, Program};
use cutover_telemetry::{Config, Telemetry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::control_plane::Record;
use super::keeper::Keeper;
use super::run::RUN_VARIABLE;
use super::{ControlPlane, Error, Home, Keyring, log_file};

/// The verb by which `up` starts the supervisor.
const VERB: &str = "supervise";
const HOME_VARIABLE: &str = "CUTOVER_HOME";
/// From one look at whether the journal can be opened to the next.
const POLL: Duration = Duration::from_millis(100);

/// Starts the supervisor of a control plane in a session of its own, and tells it what to run.
pub(super) async fn launch(home: &Home, control_plane: &ControlPlane) -> Result<Child, Error> {
    let binary = std::env::current_exe().map_err(Error::file("find", "the executable of cutover"))?;
    let path = home.log_of("supervisor");
    let log = log_file::open(&path)?;
    let errors = log.try_clone().map_err(Error::file("open", &path))?;
    let mut supervisor = Command::new(&binary)
        .arg(VERB)
        .env(HOME_VARIABLE, home.folder())
        .env(RUN_VARIABLE, control_plane.run.id())
        .current_dir(home.folder())
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|source| Error::Start { binary, source })?;
    let instructions =
        serde_json::to_vec(control_plane).map_err(io::Error::from).map_err(Error::Instructions)?;
    if let Some(mut stdin) = supervisor.stdin.take() {
        // A supervisor that doesn't listen has ended, and its end says more than a broken pipe.
        let _ = stdin.write_all(&instructions).await;
    }
    Ok(supervisor)
}

/// The supervisor itself: runs the NATS server and, once there is a journal, the programs; starts again what ends; and
/// stops all of it on SIGTERM, the programs first. What it runs comes over standard input from `cutover up`.
///
/// # Errors
/// It was not started by `cutover up`, or its home can't be written to.
pub(crate) async fn supervise(home: &Path) -> Result<(), Error> {
    // No terminal any more, whose end would be ours. It fails only for the leader of a session, who has none to lose.
    let _ = nix::unistd::setsid();
    let mut instructions = Vec::new();
    tokio::io::stdin().read_to_end(&mut instructions).await.map_err(Error::Instructions)?;
    let control_plane: ControlPlane = serde_json::from_slice(&instructions).map_err(Error::NotInstructed)?;
    let home = Home::open(home)?;
    let telemetry =
        Telemetry::start("cutover-supervisor", Config { metrics: None, ..Config::from_environment()? })
            .await?;
    let mut end = EndSignals::new().map_err(Error::file("listen to signals in", "this process"))?;
    Record { supervisor: std::process::id(), control_plane: control_plane.clone() }.write(&home)?;

    let (stop_programs, stop_nats) = (CancellationToken::new(), CancellationToken::new());
    let nats = tokio::spawn(nats_keeper(&home, &control_plane).keep(stop_nats.clone()));
    let programs = tokio::spawn(run_programs(home.clone(), control_plane, stop_programs.clone()));
    end.received().await;
    tracing::info!("stopping");
    for (stop, task) in [(stop_programs, programs), (stop_nats, nats)] {
        stop.cancel();
        if let Err(error) = task.await {
            tracing::error!(%error, "a part of the supervisor ended in an unexpected way");
        }
    }
    Record::remove(&home)?;
    telemetry.shutdown().await;
    Ok(())
}

fn nats_keeper(home: &Home, control_plane: &ControlPlane) -> Keeper {
    Keeper {
        name: "nats-server".to_owned(),
        binary: control_plane.nats.binary.clone(),
        arguments: vec!["--config".into(), home.nats_config().into()],
        environment: Vec::new(),
        folder: home.folder().to_owned(),
        log: home.log_of("nats-server"),
    }
}

async fn run_programs(home: Home, control_plane: ControlPlane, stop: CancellationToken) {
    if stop.run_until_cancelled(journal_is_open(&control_plane)).await.is_none() {
        return;
    }
    let environment: Vec<(&'static str, OsString)> =
        vec![("NATS_URL", (&control_plane.url).into()), ("CUTOVER_STORE", (&control_plane.store).into())];
    // `up` has made them.
    let keyring = match control_plane.keyring() {
        Ok(keyring) => keyring,
        Err(error) => return tracing::error!(%error, "no program is started"),
    };
    let mut keepers = JoinSet::new();
    for crew in &control_plane.programs {
        for name in crew.processes() {
            let mut environment = environment.clone();
            environment.extend(entrance(&keyring, control_plane.secure, crew.program));
            let keeper = program_keeper(&home, name, &crew.binary, &environment);
            keepers.spawn(keeper.keep(stop.clone()));
        }
    }
    keepers.join_all().await;
}

/// By what a program enters the bus and opens what is sealed to it, and nothing else that this process may have been told of another
/// one.
fn entrance(keyring: &Keyring, secure: bool, program: Program) -> Vec<(&'static str, OsString)> {
    let variables =
        ["CUTOVER_NATS_KEY", "CUTOVER_NATS_CA", "CUTOVER_NATS_CERTIFICATE", "CUTOVER_NATS_CERTIFICATE_KEY"];
    let none = variables.map(|variable| (variable, OsString::new())).into_iter();
    let user = BusUser::Program(program);
    let own = secure.then(|| keyring.environment(user));
    none.chain(own.into_iter().flatten()).chain([keyring.sealing_key(user)]).collect()
}

fn program_keeper(
    home: &Home,
    name: String,
    binary: &Path,
    environment: &[(&'static str, OsString)],
) -> Keeper {
    Keeper {
        log: home.log_of(&name),
        name,
        binary: binary.to_owned(),
        arguments: Vec::new(),
        environment: environment.to_vec(),
        folder: home.folder().to_owned(),
    }
}

/// Waits until `up` has set up the journal: a program that starts before would only end at once.
async fn journal_is_open(control_plane: &ControlPlane) {
    while let Err(error) = open_journal(control_plane).await {
        tracing::debug!(%error, "no journal yet");
        sleep(POLL).await;
    }
}

async fn open_journal(control_plane: &ControlPlane) -> Result<(), Error> {
    let access = control_plane.access(BusUser::Observer)?;
    Ok(Bus::enter(&access, "cutover-supervisor").await?.open().await.map(|_| ())?)
}

/// The signals that end the supervisor, and the one that doesn't.
#[derive(Debug)]
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    /// Listened to so that it doesn't end the process; it says nothing.
    _hangup: Signal,
}

impl EndSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
