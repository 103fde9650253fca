//! `cutover-trigger`: takes in what code hosts, registries and buckets tell, and asks for deployments. It faces the internet.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use cutover_core::BusUser;
use cutover_program::BusArguments;
use cutover_trigger::{Desk, Error, Hooks, Server, Triggers};

/// Takes in webhooks, and asks for the deployments that they are to lead to, until it is told to stop.
#[derive(Parser)]
#[command(name = "cutover-trigger", version)]
struct Command {
    #[command(flatten)]
    bus: BusArguments,
    /// The file that says who may ask for what.
    #[arg(long, env = "CUTOVER_TRIGGERS", value_name = "PATH", default_value = "triggers.yaml")]
    triggers: PathBuf,
    /// Where hooks are served, over plain HTTP.
    #[arg(long, env = "CUTOVER_TRIGGER_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8088")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command { bus, triggers, listen } = Command::parse();
    let name = "cutover-trigger";
    cutover_program::run_beside(BusUser::Trigger, name, bus, async |access, metrics, stop| {
        let Triggers { sources, limits } = Triggers::read(&triggers)?;
        let hooks = Hooks::open(sources, &metrics).await?;
        let server = Server::bind(listen, limits).await?;
        server.serve(hooks, Desk::open(access, name, &stop), stop).await;
        Ok::<_, Error>(())
    })
    .await?;
    Ok(())
}
