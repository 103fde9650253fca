//! The commands, one file each.

mod abort;
mod accessory;
mod adopt;
mod adopt_ports;
mod analyze;
mod approve;
mod audit;
mod completion;
pub(crate) mod deploy;
mod doctor;
mod down;
mod exec;
mod history;
mod hosts;
mod import;
mod init;
mod keys;
mod lint;
mod logs;
mod maintenance;
mod migrations;
mod pause;
mod plan;
mod promote;
mod provenance;
mod proxy;
mod replay;
mod requests;
mod resume;
mod rollback;
mod schema;
mod secrets;
mod serve;
mod setup;
mod status;
mod up;

use crate::args::{Args, Global, Verb};
use crate::console::Console;
use crate::exit::Exit;
use crate::{embedded, telemetry};

/// Does what was asked.
///
/// # Errors
/// Whatever stopped it; `report` knows which exit code that is.
pub(crate) async fn run(args: Args, console: Console) -> anyhow::Result<Exit> {
    let options = args.global;
    if matches!(args.verb, Verb::Supervise) {
        // No command but a program, with telemetry of its own.
        embedded::supervise(&options.home()).await?;
        return Ok(Exit::Ok);
    }
    let telemetry = telemetry::start(&options).await?;
    // A plan is large, and with it all that waits with one.
    let result = Box::pin(command(&options, args.verb, console)).await;
    telemetry.shutdown().await;
    result
}

async fn command(options: &Global, verb: Verb, console: Console) -> anyhow::Result<Exit> {
    match verb {
        Verb::Init(args) => init::run(options, args, console),
        Verb::Import(args) => import::run(options, &args, console),
        Verb::Up(args) => up::run(options, args, console).await,
        Verb::Keys(args) => keys::run(options, &args, console).await,
        Verb::Down => down::run(options, console).await,
        Verb::Setup(args) => Box::pin(setup::run(options, args, console)).await,
        Verb::Proxy(args) => Box::pin(proxy::run(options, args, console)).await,
        Verb::Adopt(args) => Box::pin(adopt::run(options, args, console)).await,
        Verb::Maintenance(args) => Box::pin(maintenance::run(options, args, console)).await,
        Verb::Pause(args) => Box::pin(pause::run(options, args, console)).await,
        Verb::Resume(args) => Box::pin(resume::run(options, args, console)).await,
        Verb::Plan(args) => plan::run(options, args, console).await,
        Verb::Deploy(args) => Box::pin(deploy::run(options, args, console)).await,
        Verb::Status(args) => Box::pin(status::run(options, &args, console)).await,
        Verb::History(args) => history::run(options, &args, console).await,
        Verb::Audit(args) => audit::run(options, &args, console).await,
        Verb::Hosts(args) => hosts::run(options, args, console).await,
        Verb::Lint(args) => lint::run(options, args, console).await,
        Verb::Migrations(args) => migrations::run(options, args, console).await,
        Verb::Approve => approve::run(options, console).await,
        Verb::Promote(args) => Box::pin(promote::run(options, args, console)).await,
        Verb::Analyze(args) => Box::pin(analyze::run(options, &args, console)).await,
        Verb::Logs(args) => Box::pin(logs::run(options, &args, console)).await,
        Verb::Exec(args) => Box::pin(exec::run(options, &args, console)).await,
        Verb::Accessory(args) => Box::pin(accessory::run(options, args, console)).await,
        Verb::Replay(args) => Box::pin(replay::run(options, args, console)).await,
        Verb::Rollback(args) => Box::pin(rollback::run(options, args, console)).await,
        Verb::Provenance(args) => Box::pin(provenance::run(options, &args, console)).await,
        Verb::Secrets(args) => Box::pin(secrets::run(options, args, console)).await,
        Verb::Serve(args) => Box::pin(serve::run(options, &args, console)).await,
        Verb::Requests(args) => requests::run(options, &args, console).await,
        Verb::Schema => schema::run(),
        Verb::Completion(args) => completion::script(args),
        Verb::Man(args) => completion::pages(args),
        Verb::Doctor(args) => Box::pin(doctor::run(options, args, console)).await,
        Verb::Abort(args) => Box::pin(abort::run(options, args, console)).await,
        Verb::Supervise => Ok(Exit::Ok),
    }
}
