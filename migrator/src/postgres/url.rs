//! A database's URL, and what of it we can use.

use std::str::FromStr;
use std::time::Duration;

use cutover_secrets::Secret;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::Error;

/// The parameters of a URL that are about the connection (libpq, manual 34.1.2). Others, such as Rails' `pool`, are
/// about the application's use of it.
const CONNECTION: [&str; 8] =
    ["application_name", "connect_timeout", "dbname", "host", "options", "password", "sslmode", "user"];

/// How long the peer may be silent before it is asked whether it is there, and how long an answer may take: a server
/// that has vanished is noticed after about a minute, whatever it was doing.
const SILENCE: Duration = Duration::from_secs(30);

/// The address of a database.
pub(crate) struct Address {
    /// How to connect.
    pub(crate) config: Config,
    /// What to call it: host and port, or socket, and the database.
    pub(crate) server: String,
}

impl Address {
    /// Reads a `postgres://` URL.
    pub(crate) fn read(url: &Secret) -> Result<Self, Error> {
        let url = url.expose();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(Error::Url("expected postgres://user:password@host:port/database"));
        }
        let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut kept = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name == "sslmode" && !matches!(value, "disable" | "prefer") {
                return Err(Error::Tls { mode: value.to_owned() });
            }
            if CONNECTION.contains(&name) {
                kept.push(parameter);
            } else {
                tracing::debug!(
                    parameter = name,
                    "a parameter of the database's URL is not about the connection"
                );
            }
        }
        let url = Secret::new(format!("{base}?{}", kept.join("&")));
        // The reason is left out: it can quote the URL.
        let mut config = Config::from_str(url.expose())
            .map_err(|_| Error::Url("expected postgres://user:password@host:port/database, with special characters escaped (%40 for @)"))?;
        if config.get_application_name().is_none() {
            config.application_name("cutover-migrator");
        }
        config
            .keepalives_idle(SILENCE)
            .keepalives_interval(SILENCE / 3)
            .keepalives_retries(3)
            .tcp_user_timeout(SILENCE);
        let server = describe(&config);
        Ok(Self { config, server })
    }
}

fn describe(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("postgres");
    format!("{host}:{port}/{database}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Address, Error> {
        Address::read(&Secret::new(url.to_owned()))
    }

    #[test]
    fn a_database_is_called_by_its_address_without_the_password() {
        let address =
            read("postgres://app:hunter2@db.example.com:6432/app_production?pool=5&sslmode=prefer").unwrap();
        assert_eq!(address.server, "db.example.com:6432/app_production");
        assert_eq!(
            read("postgresql:///app?host=/run/postgresql").unwrap().server,
            "/run/postgresql:5432/app"
        );
    }

    #[test]
    fn what_demands_tls_is_refused_with_what_to_write() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let message = read(&format!("postgres://db/app?sslmode={mode}")).err().unwrap().to_string();
            assert!(message.contains(mode) && message.contains("sslmode=disable"), "{message}");
        }
    }

    #[test]
    fn no_error_repeats_the_url() {
        for url in ["mysql2://app:hunter2@db/app", "postgres://app:hunter2@db:port/app"] {
            let error = read(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
