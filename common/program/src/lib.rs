//! What the programs have in common before and after their work: arguments, telemetry, waiting for the bus, signals.

mod arguments;
mod fault;
mod secrets;

pub use arguments::{Arguments, BusArguments};

use std::time::Duration;

use cutover_bus::{Access, Bus, Journal, Performer, StandingWork, WorkerOptions, hold, work};
use cutover_core::{BusUser, Program};
use cutover_telemetry::{Config, Metrics, Telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long an unreachable bus is left alone before it is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// Every so many tries it is said that the bus is still waited for.
const SAY_EVERY: u32 = 20;

/// Why a program could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Telemetry could not be started.
    #[error(transparent)]
    Telemetry(#[from] cutover_telemetry::Error),
    /// The bus failed in a way that waiting doesn't mend.
    #[error(transparent)]
    Bus(#[from] cutover_bus::Error),
    /// Its key of the bus can't be used.
    #[error(transparent)]
    Key(#[from] cutover_bus::KeyError),
    /// It was given the key of somebody else.
    #[error("the key that CUTOVER_NATS_KEY names is the {0}'s: each program has one of its own")]
    OthersKey(BusUser),
    /// The system refused a signal handler.
    #[error("signals can't be listened for")]
    Signals(#[source] std::io::Error),
}

/// Runs a program until SIGTERM or SIGINT: waits for the bus, works, hands back what it has.
///
/// # Errors
/// A configuration that can't be used. A bus that isn't there yet is waited for.
pub async fn run<P: Performer>(
    program: Program,
    version: &str,
    arguments: Arguments,
    performer: P,
) -> Result<(), Error> {
    start(program, version, arguments, async |journal, options, metrics, stop| {
        Ok(work(journal, options, performer, metrics, stop).await?)
    })
    .await
}

/// The same for a program that has a duty beside its stages. `duty` makes it, with the program's metrics.
///
/// # Errors
/// The same.
pub async fn run_with_duty<P: Performer, D: StandingWork>(
    program: Program,
    version: &str,
    arguments: Arguments,
    performer: P,
    duty: impl FnOnce(&Metrics) -> Result<D, cutover_telemetry::Error>,
) -> Result<(), Error> {
    start(program, version, arguments, async |journal: Journal, options: WorkerOptions, metrics, stop| {
        let duty = duty(&metrics)?;
        let (known, name, told) = (journal.clone(), options.name.clone(), stop.clone());
        let held = hold(known, &name, duty, told);
        tokio::try_join!(work(journal, options, performer, metrics, stop), held)?;
        Ok(())
    })
    .await
}

/// Runs a program that does no stages until its work ends, which is told of SIGTERM and SIGINT. Whether the bus is there is its own to
/// find out.
///
/// # Errors
/// A configuration that can't be used, and what the work ends with.
pub async fn run_beside<E: From<Error>>(
    user: BusUser,
    name: &str,
    arguments: BusArguments,
    work: impl AsyncFnOnce(Access, Metrics, CancellationToken) -> Result<(), E>,
) -> Result<(), E> {
    let config = Config::from_environment().map_err(Error::Telemetry)?;
    let telemetry = Telemetry::start(name, config).await.map_err(Error::Telemetry)?;
    let stop = stop_on_signal()?;
    let access = arguments.access().map_err(Error::Key)?;
    if let Some(other) = access.user().filter(|other| *other != user) {
        return Err(Error::OthersKey(other).into());
    }
    work(access, telemetry.metrics().clone(), stop).await?;
    telemetry.shutdown().await;
    Ok(())
}

/// Everything before and after the work on stages.
async fn start(
    program: Program,
    version: &str,
    arguments: Arguments,
    work: impl AsyncFnOnce(Journal, WorkerOptions, Metrics, CancellationToken) -> Result<(), Error>,
) -> Result<(), Error> {
    let (user, name, Arguments { bus, slots }) = (BusUser::Program(program), program.binary(), arguments);
    run_beside(user, &name, bus, async |access, metrics, stop| {
        let Some(journal) = open(&access, program, &stop).await? else { return Ok(()) };
        let options = WorkerOptions {
            program,
            version: version.to_owned(),
            name: worker_name(),
            slots,
            at_point: fault::at_point(),
        };
        let name = options.name.clone();
        // Before anybody can know that it is there.
        let questions = journal.bus().secret_questions(program).await?;
        let work = work(journal, options, metrics, stop);
        // It may end at once, and is not what the program is for.
        tokio::select! {
            biased;
            done = work => done,
            never = Box::pin(secrets::attend(questions, &name)) => match never {},
        }
    })
    .await
}

/// The journal, once it is there; none when the program is told to stop before.
async fn open(access: &Access, program: Program, stop: &CancellationToken) -> Result<Option<Journal>, Error> {
    for tries in 0_u32.. {
        let opened = async {
            let bus = Bus::enter(access, &program.binary()).await?;
            let journal = bus.open().await?;
            bus.make_consumers(&journal, program.stages()).await?;
            Ok::<_, cutover_bus::Error>(journal)
        };
        let error = tokio::select! {
            opened = opened => match opened {
                Ok(journal) => return Ok(Some(journal)),
                Err(error) => error,
            },
            () = stop.cancelled() => return Ok(None),
        };
        let comes = matches!(error, cutover_bus::Error::NotSetUp | cutover_bus::Error::NotTaken { .. });
        if !error.retryable() && !comes {
            return Err(error.into());
        }
        if tries % SAY_EVERY == 0 {
            tracing::warn!(%error, "waiting for the bus");
        }
        tokio::select! { () = tokio::time::sleep(AGAIN) => {}, () = stop.cancelled() => return Ok(None) }
    }
    Ok(None)
}

/// A token that SIGTERM or SIGINT cancels.
fn stop_on_signal() -> Result<CancellationToken, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("told to stop");
        token.cancel();
    });
    Ok(stop)
}

/// The worker's name in claims: machine and process.
fn worker_name() -> String {
    let machine =
        nix::unistd::gethostname().map_or_else(|_| "?".into(), |name| name.to_string_lossy().into_owned());
    format!("{machine}:{}", std::process::id())
}
