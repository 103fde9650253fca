//! What is said of the traffic of a service.

use std::path::PathBuf;

use clap::Subcommand;
use cutover_core::Span;

/// Options of `maintenance`.
#[derive(clap::Args, Debug)]
pub(crate) struct Maintenance {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: MaintenanceAction,
}

/// Whether a service is away.
#[derive(Subcommand, Debug)]
pub(crate) enum MaintenanceAction {
    /// Answer all requests with 503 and a page; the health checks go on
    On(MaintenanceOn),
    /// Serve again
    Off(Resume),
}

/// Options of `maintenance on`.
#[derive(clap::Args, Debug)]
pub(crate) struct MaintenanceOn {
    /// The destination
    #[arg(value_name = "DESTINATION", conflicts_with = "destination")]
    pub(crate) place: Option<String>,
    /// The page, in HTML [default: a line of text]
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
    /// When it ends by itself, as in 2h [default: with `maintenance off`]
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) span: Option<Span>,
    /// Requests with this cookie are served as ever
    #[arg(long, value_name = "NAME=VALUE", value_parser = cookie)]
    pub(crate) pass: Option<(String, String)>,
    /// Also without the control plane, and where another one has the service
    #[arg(long)]
    pub(crate) force: bool,
}

/// Options of `pause`.
#[derive(clap::Args, Debug)]
pub(crate) struct Pause {
    /// The destination
    #[arg(value_name = "DESTINATION", conflicts_with = "destination")]
    pub(crate) place: Option<String>,
    /// When it ends by itself, at most 1h
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = pause)]
    pub(crate) span: Span,
    /// How many requests wait on each host; more are answered with 503
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    pub(crate) waiting: u32,
    /// Also without the control plane, and where another one has the service
    #[arg(long)]
    pub(crate) force: bool,
}

/// Options of `resume` and of `maintenance off`.
#[derive(clap::Args, Debug)]
pub(crate) struct Resume {
    /// The destination
    #[arg(value_name = "DESTINATION", conflicts_with = "destination")]
    pub(crate) place: Option<String>,
    /// Also without the control plane, and where another one has the service
    #[arg(long)]
    pub(crate) force: bool,
}

/// The proxy refuses a longer pause too, but on each host.
fn pause(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error: cutover_core::InvalidSpan| error.to_string())?;
    if (Span::millis(1)..=Span::seconds(3_600)).contains(&span) {
        Ok(span)
    } else {
        Err("expected at least 1ms and at most 1h".to_owned())
    }
}

/// `staff=s3cret`
fn cookie(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, as in staff=s3cret")?;
    Ok((name.to_owned(), value.to_owned()))
}
