use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_bus::{Bus, Copies};
use cutover_core::{BusUser, Program};
use tokio::time::{Instant, sleep};

use super::control_plane::{Crew, Record};
use super::home::write_private;
use super::nats_account::NatsAccount;
use super::nats_server::NatsServer;
use super::run::Run;
use super::{ControlPlane, Error, Home, down, keeper, log_file, supervisor};

/// Until the NATS server answers.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Until every program is on the bus.
const PRESENCE_LIMIT: Duration = Duration::from_secs(20);
/// How long answers to one question for presence are collected: they come from this machine.
const PRESENCE_WAIT: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 10;

/// How a control plane is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The folder of its state.
    pub(crate) home: PathBuf,
    /// The nats-server to run instead of one that is found.
    pub(crate) nats_server: Option<PathBuf>,
    /// How many of a program; those not named keep their number, which is one at first.
    pub(crate) scale: BTreeMap<Program, usize>,
    /// Whether its bus is to tell users apart from now on.
    pub(crate) secure: bool,
    /// Whether one that runs is stopped first, so that other binaries or another scale take effect.
    pub(crate) restart: bool,
}

impl Options {
    /// One of each, in this folder.
    pub(crate) fn new(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            nats_server: None,
            scale: BTreeMap::new(),
            secure: false,
            restart: false,
        }
    }
}

/// Starts the control plane unless it runs, and returns once every program takes part. `say` gets a line for each thing
/// that a user should know while it goes on. What a killed supervisor has left running is taken down first.
///
/// # Errors
/// No usable nats-server, a program's binary that is missing, a server or a program that doesn't come up (with the last
/// lines of its log).
pub(crate) async fn up(options: &Options, say: &dyn Fn(&str)) -> Result<ControlPlane, Error> {
    let home = Home::open(&options.home)?;
    let _lock = home.lock().await?;
    let recorded = Record::read(&home)?;
    let mut scale = recorded.as_ref().map(|record| record.control_plane.scale()).unwrap_or_default();
    scale.extend(&options.scale);
    if let Some(record) = &recorded
        && record.is_running()
        && !options.restart
    {
        return confirm(&home, record.control_plane.clone(), &scale, options.secure, say).await;
    }
    // What is missing is found out before anything is stopped.
    let programs = Crew::muster(&scale)?;
    let nats = NatsServer::find(options.nats_server.as_deref(), &home, say).await?;
    if let Some(record) = &recorded {
        stop_former(&home, record, say).await?;
    }
    let control_plane = configure(&home, options.secure, nats, programs)?;
    say(&format!("starting the control plane in {}: {}", home.folder().display(), control_plane.summary()));
    start(&home, &control_plane).await?;
    Ok(control_plane)
}

/// The control plane of this home; it is started, with one of each program, unless it runs.
///
/// # Errors
/// As for [`up`].
pub(crate) async fn ensure(home: &Path, say: &dyn Fn(&str)) -> Result<ControlPlane, Error> {
    match running(home).await? {
        Some(control_plane) => {
            warn_of_other_version(&control_plane, say);
            Ok(control_plane)
        }
        None => up(&Options::new(home), say).await,
    }
}

/// What runs from this home; waits for another command that is starting or stopping it.
async fn running(home: &Path) -> Result<Option<ControlPlane>, Error> {
    let home = Home::open(home)?;
    let _lock = home.lock().await?;
    Ok(Record::read(&home)?.filter(Record::is_running).map(|record| record.control_plane))
}

/// It runs already: says so, and what would take a restart.
async fn confirm(
    home: &Home,
    control_plane: ControlPlane,
    scale: &BTreeMap<Program, usize>,
    secure: bool,
    say: &dyn Fn(&str),
) -> Result<ControlPlane, Error> {
    say(&format!("the control plane runs already in {}", home.folder().display()));
    warn_of_other_version(&control_plane, say);
    if control_plane.scale() != *scale {
        say("another scale takes effect with `cutover up --restart`");
    }
    if secure && !control_plane.secure {
        say("its bus tells users apart after `cutover up --secure --restart`");
    }
    let bus = answering(home, &control_plane).await?;
    bus.set_up(Copies::One).await?;
    await_presence(&bus, home, &control_plane).await?;
    Ok(control_plane)
}

fn warn_of_other_version(control_plane: &ControlPlane, say: &dyn Fn(&str)) {
    let ours = env!("CARGO_PKG_VERSION");
    if control_plane.version != ours {
        let theirs = &control_plane.version;
        say(&format!(
            "the control plane that runs is {theirs}, this is {ours}: `cutover up --restart` replaces it"
        ));
    }
}

/// Stops the control plane that is to be replaced, or what one has left whose supervisor was killed.
async fn stop_former(home: &Home, record: &Record, say: &dyn Fn(&str)) -> Result<(), Error> {
    let supervised = record.is_running();
    let stopped = down::stop(home, record).await?;
    match (supervised, stopped.processes) {
        (true, _) => say("stopped the control plane that ran"),
        (false, 0) => {}
        (false, left) => say(&format!("a killed supervisor had left processes running ({left}): stopped")),
    }
    Ok(())
}

/// Writes the configuration of the NATS server.
fn configure(
    home: &Home,
    secure: bool,
    nats: NatsServer,
    programs: Vec<Crew>,
) -> Result<ControlPlane, Error> {
    let account = NatsAccount::of(home, secure)?;
    account.settle_streams(home)?;
    let keyring = NatsAccount::keyring(home)?;
    write_private(&home.nats_config(), account.config(home, &keyring).as_bytes())?;
    Ok(ControlPlane {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        url: account.url(),
        keyring: home.keys(),
        secure: account.is_secure(),
        store: home.store(),
        run: Run::begin(),
        nats,
        programs,
    })
}

async fn start(home: &Home, control_plane: &ControlPlane) -> Result<(), Error> {
    let bus = match set_up(home, control_plane).await {
        Ok(bus) => bus,
        Err(error) => {
            // A control plane without a bus is none: nothing of it stays behind. The first error is the one to tell.
            let _ = control_plane.run.take_down(keeper::GRACE).await;
            Record::remove(home)?;
            return Err(error);
        }
    };
    await_presence(&bus, home, control_plane).await
}

async fn set_up(home: &Home, control_plane: &ControlPlane) -> Result<Bus, Error> {
    let mut supervisor = supervisor::launch(home, control_plane).await?;
    let bus = tokio::select! {
        bus = answering(home, control_plane) => bus?,
        Ok(status) = supervisor.wait() => {
            return Err(Error::Ended { status, log: log_file::tail(&home.log_of("supervisor"), LOG_LINES) });
        }
    };
    bus.set_up(Copies::One).await?;
    if control_plane.secure {
        // The server lets these keys in and no others.
        bus.put_in_force(&control_plane.public_keys()?).await?;
    }
    Ok(bus)
}

/// Waits until the NATS server answers.
async fn answering(home: &Home, control_plane: &ControlPlane) -> Result<Bus, Error> {
    let (access, began) = (control_plane.access(BusUser::Operator)?, Instant::now());
    loop {
        match Bus::enter(&access, "cutover").await {
            Ok(bus) => return Ok(bus),
            Err(source) if began.elapsed() > ANSWER_LIMIT => {
                let logs = ["supervisor", "nats-server"]
                    .map(|process| log_file::tail(&home.log_of(process), LOG_LINES));
                return Err(Error::Silent { limit: ANSWER_LIMIT, source, log: logs.join("\n") });
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

/// Waits until every program of this control plane is on the bus.
async fn await_presence(bus: &Bus, home: &Home, control_plane: &ControlPlane) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        let present = bus.presence(&[], PRESENCE_WAIT).await?;
        let absent = control_plane.absent(&present);
        if absent.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PRESENCE_LIMIT {
            let crews = control_plane.programs.iter().filter(|crew| absent.contains(&crew.program));
            let logs =
                crews.flat_map(Crew::processes).map(|name| log_file::tail(&home.log_of(&name), LOG_LINES));
            return Err(Error::Absent {
                programs: absent.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                limit: PRESENCE_LIMIT,
                log: logs.collect::<Vec<_>>().join("\n"),
            });
        }
        sleep(POLL).await;
    }
}
