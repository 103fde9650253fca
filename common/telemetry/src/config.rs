//! What the environment says about telemetry.

use std::net::{Ipv4Addr, SocketAddr};

use crate::Error;

const FILTER: &str = "CUTOVER_LOG";
const METRICS: &str = "CUTOVER_METRICS";
const COLLECTOR: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What is told, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which events become log lines, in the notation of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// The OTLP/HTTP base address of a collector, such as `http://127.0.0.1:4318`; no traces are exported without one.
    pub collector: Option<String>,
    /// Where `/metrics` is served; nowhere without one.
    pub metrics: Option<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self { filter: "info".to_owned(), collector: None, metrics: None }
    }
}

impl Config {
    /// Reads `CUTOVER_LOG` (default `info`), `OTEL_EXPORTER_OTLP_ENDPOINT` and `CUTOVER_METRICS`: an address with a port,
    /// or a port alone, which is then served on loopback. An empty variable is as good as none.
    ///
    /// # Errors
    /// When a variable holds something that can't be used.
    pub fn from_environment() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Error> {
        Ok(Self {
            filter: variable(FILTER).unwrap_or_else(|| Self::default().filter),
            collector: variable(COLLECTOR).map(collector).transpose()?,
            metrics: variable(METRICS).map(listen).transpose()?,
        })
    }
}

fn collector(value: String) -> Result<String, Error> {
    if value.starts_with("http://") {
        return Ok(value);
    }
    let expected = "expected an http:// address; traces are sent to a collector nearby, without TLS";
    Err(Error::Variable { variable: COLLECTOR, value, expected })
}

fn listen(value: String) -> Result<SocketAddr, Error> {
    if let Ok(port) = value.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let expected =
        "expected a port (9464), which is served on loopback, or an address with one (10.0.0.5:9464)";
    value.parse().map_err(|_| Error::Variable { variable: METRICS, value, expected })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, Error> {
        Config::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_exported_or_served_unasked() {
        assert_eq!(read(&[]).unwrap(), Config::default());
    }

    #[test]
    fn a_port_alone_is_served_on_loopback() {
        let config = read(&[("CUTOVER_METRICS", "9464")]).unwrap();
        assert_eq!(config.metrics.unwrap().to_string(), "127.0.0.1:9464");
        let config = read(&[("CUTOVER_METRICS", "[::]:9464")]).unwrap();
        assert_eq!(config.metrics.unwrap().to_string(), "[::]:9464");
    }

    #[test]
    fn what_can_not_be_used_is_named_with_its_variable() {
        for (name, value) in
            [("CUTOVER_METRICS", "everywhere"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318")]
        {
            let message = read(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(value), "{message}");
        }
    }
}
