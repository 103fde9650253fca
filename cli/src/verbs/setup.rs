//! `cutover setup`: makes the hosts of a destination ready.

use crate::args::{Global, Setup};
use crate::console::Console;
use crate::exit::Exit;
use crate::project::Project;
use crate::setup::{self, Drive, Options};

pub(super) async fn run(options: &Global, args: Setup, console: Console) -> anyhow::Result<Exit> {
    Box::pin(make_ready(options, args, false, console)).await
}

/// Does it, with new proxies or without.
pub(super) async fn make_ready(
    options: &Global,
    args: Setup,
    upgrade_proxy: bool,
    console: Console,
) -> anyhow::Result<Exit> {
    let project = Project::open(&options.at(args.place))?;
    let options = Options {
        hosts: project.target.hosts,
        accept_new: args.accept_new,
        http_port: args.http_port,
        https: args.https_port,
        metrics: args.metrics,
        trusted: args.trust.iter().map(ToString::to_string).collect(),
        proxy_protocol: args.proxy_protocol,
        start_traces: args.start_traces,
        access_log: args.access_log,
        drive: args.drive.map(|drive| drive.0.map(|other| Drive { other, options: args.with })),
        proxy_binary: args.proxy_binary,
        stays: false,
        upgrade_proxy,
    };
    let report = |step: &setup::Step| {
        // A standard output that was closed is no reason to leave hosts half ready.
        let _ = if console.json { console.object(step) } else { console.line(step) };
    };
    Box::pin(setup::setup(&options, &report)).await?;
    let hosts = options.hosts.len();
    console.note(format_args!("{hosts} {} ready", if hosts == 1 { "host is" } else { "hosts are" }));
    Ok(Exit::Ok)
}
