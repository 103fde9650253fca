//! What the command itself logs, on standard error: nothing, unless asked. It tells people what they need in its own words.

use cutover_telemetry::{Config, Error, Telemetry};

use crate::args::Global;

/// Installs the subscriber for as many `-v` as were given; `CUTOVER_LOG` is for the programs. Traces are exported where the
/// environment names a collector.
///
/// # Errors
/// A collector that can't be used.
pub(crate) async fn start(options: &Global) -> Result<Telemetry, Error> {
    let filter = match options.verbose {
        0 => "off",
        1 => "warn,cutover=info",
        _ => "info,cutover=debug",
    };
    Telemetry::start(
        "cutover",
        Config { filter: filter.to_owned(), metrics: None, ..Config::from_environment()? },
    )
    .await
}
