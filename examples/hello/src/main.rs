//! A small web application to deploy: it starts, gets ready, answers, fails and crashes as its environment says.
#![expect(clippy::print_stderr, reason = "the log of a container is its standard error")]

mod app;
mod server;
mod settings;

use std::process::ExitCode;

use settings::{Crash, Hoard, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let settings = Settings::from_env()?;
    let (crash, hoard) = (settings.crash, settings.hoard);

    // Registered before anything else: as process 1 of a container, it would otherwise ignore SIGTERM.
    let mut terminated = signal(SignalKind::terminate())?;
    let stopping = CancellationToken::new();
    let stop = stopping.clone();
    tokio::spawn(async move {
        terminated.recv().await;
        eprintln!("hello: SIGTERM: answering what is in flight, then leaving");
        stop.cancel();
    });

    tokio::spawn(take(hoard));
    tokio::select! {
        biased;
        code = crashed(crash) => Ok(ExitCode::from(code)),
        served = server::serve(settings, stopping) => served.map(|()| ExitCode::SUCCESS),
    }
}

/// Takes memory, with something in each page of it, and keeps it.
async fn take(hoard: Option<Hoard>) {
    let Some(Hoard { mebibytes, after }) = hoard else { return };
    tokio::time::sleep(after).await;
    eprintln!("hello: taking {mebibytes} MiB of memory on purpose");
    let taken = vec![1_u8; mebibytes << 20];
    std::future::pending::<()>().await;
    drop(taken);
}

/// Resolves to the exit code when it is time to crash.
async fn crashed(crash: Option<Crash>) -> u8 {
    let Some(Crash { code, after }) = crash else {
        return std::future::pending().await;
    };
    if !after.is_zero() {
        tokio::time::sleep(after).await;
    }
    eprintln!("hello: crashing on purpose, with exit code {code}");
    code
}
