//! A database's URL, and what of it we can use.

use std::str::FromStr;
use std::time::Duration;

use cutover_secrets::Secret;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use url::Url;

use super::tls::Trust;
use crate::percent::unescape;
use crate::roots::Roots;
use crate::{Error, Target};

/// The parameters of a URL that are about the connection (libpq, manual 34.1.2). Others, such as Rails' `pool`, are
/// about the application's use of it.
const CONNECTION: [&str; 10] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "options",
    "password",
    "sslnegotiation",
    "target_session_attrs",
    "user",
];

/// How long the peer may be silent before it is asked whether it is there, and how long an answer may take: a server
/// that has vanished is noticed after about a minute, whatever it was doing.
const SILENCE: Duration = Duration::from_secs(30);

/// Why a host can't lead to it.
const NO_HOST: Error =
    Error::Url("for via: host it names one server by its host: postgres://user:password@host:port/database");

/// Where a server listens that says nothing else.
const PORT: u16 = 5432;

/// The address of a database.
pub(crate) struct Address {
    /// How to connect.
    pub(crate) config: Config,
    /// What to call it: host and port, or socket, and the database.
    pub(crate) server: String,
    /// Who may be at the other end, where it is TLS; None: no TLS.
    pub(crate) trust: Option<Trust>,
}

impl Address {
    /// The address of `database`, by the way that leads to it.
    pub(crate) fn of(database: Target<'_>) -> Result<Self, Error> {
        let address = Self::read(database.url)?;
        let Some(at) = database.at else { return Ok(address) };
        address.place()?;
        let mut url = Url::parse(database.url.expose()).map_err(|_| NO_HOST)?;
        url.set_port(Some(at.port())).map_err(|()| NO_HOST)?;
        // The name stays that of the server, by which its certificate is judged.
        let Self { mut config, trust, .. } = Self::read(&Secret::new(url.into()))?;
        config.hostaddr(at.ip());
        Ok(Self { config, trust, server: address.server })
    }

    /// The server's host and port.
    ///
    /// # Errors
    /// A socket, or several of them.
    pub(crate) fn place(&self) -> Result<(String, u16), Error> {
        match self.config.get_hosts() {
            [Host::Tcp(name)] => Ok((name.clone(), self.config.get_ports().first().copied().unwrap_or(PORT))),
            _ => Err(NO_HOST),
        }
    }

    /// All that it names, each by its host, or the folder of its socket, and its port.
    fn servers(&self) -> Vec<(String, u16)> {
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
        let name = |host: &Host| match host {
            Host::Tcp(name) => name.trim_end_matches('.').to_ascii_lowercase(),
            Host::Unix(folder) => folder.display().to_string(),
        };
        self.config.get_hosts().iter().enumerate().map(|(at, host)| (name(host), port(at))).collect()
    }

    /// Reads a `postgres://` URL.
    pub(crate) fn read(url: &Secret) -> Result<Self, Error> {
        let url = url.expose();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(Error::Url("expected postgres://user:password@host:port/database"));
        }
        let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
        let (mut kept, mut mode, mut roots) = (Vec::new(), "prefer", None);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "sslmode" => mode = value,
                "sslrootcert" => roots = Some(roots_in(value)?),
                "sslcert" | "sslkey" => {
                    return Err(Error::Url(
                        "certificates of clients (sslcert, sslkey) can't be used; give a password",
                    ));
                }
                // The driver doesn't know the newer word for a server that is written to.
                "target_session_attrs" if value == "primary" => kept.push("target_session_attrs=read-write"),
                "target_session_attrs" if !matches!(value, "any" | "read-write") => {
                    return Err(Error::Url(
                        "target_session_attrs is one of any, read-write, primary: migrations write",
                    ));
                }
                name if CONNECTION.contains(&name) => kept.push(parameter),
                name => tracing::debug!(
                    parameter = name,
                    "a parameter of the database's URL is not about the connection"
                ),
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
        let (mode, trust) = demand(mode, roots)?;
        config.ssl_mode(mode);
        let server = describe(&config);
        Ok(Self { config, server, trust })
    }
}

/// The host and the port of the server at `url`.
///
/// # Errors
/// A URL that can't be read, or names no host.
pub(crate) fn place(url: &Secret) -> Result<(String, u16), Error> {
    Address::read(url)?.place()
}

/// Whether two URLs name the same server, by the same way. One that names several may lead to any of them.
///
/// # Errors
/// A URL that can't be read.
pub(crate) fn share_a_server(one: Target<'_>, other: Target<'_>) -> Result<bool, Error> {
    let (one_url, other_url) = (Address::read(one.url)?, Address::read(other.url)?);
    let of_other = other_url.servers();
    Ok(one.at.is_some() == other.at.is_some()
        && one_url.servers().iter().any(|server| of_other.contains(server)))
}

/// What an `sslmode` demands. As in libpq, `require` with authorities given is `verify-ca`; other than there, those of the
/// machine count where none are given, as most servers of others have a certificate of theirs.
fn demand(mode: &str, roots: Option<Roots>) -> Result<(SslMode, Option<Trust>), Error> {
    Ok(match (mode, roots) {
        ("disable", _) => (SslMode::Disable, None),
        ("allow" | "prefer", _) => (SslMode::Prefer, Some(Trust::Anyone)),
        ("require", None) => (SslMode::Require, Some(Trust::Anyone)),
        ("require", Some(roots)) => (SslMode::Require, Some(Trust::Authority(roots))),
        ("verify-ca", roots) => (SslMode::Require, Some(Trust::Authority(roots.unwrap_or(Roots::System)))),
        ("verify-full", roots) => (SslMode::Require, Some(Trust::Name(roots.unwrap_or(Roots::System)))),
        _ => return Err(Error::Url("sslmode is one of disable, prefer, require, verify-ca, verify-full")),
    })
}

/// The authorities that `sslrootcert` names: a file of the machine that the migrator runs on, or `system`.
fn roots_in(value: &str) -> Result<Roots, Error> {
    let invalid = || {
        Error::Url(
            "sslrootcert is 'system' or a file of the machine that the migrator runs on, with / as it is",
        )
    };
    let value = unescape(value).ok_or_else(invalid)?;
    Ok(if value == "system" { Roots::System } else { Roots::File(value.into()) })
}

fn describe(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(PORT);
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
    fn how_much_is_checked_follows_libpq() {
        let trust = |parameters: &str| read(&format!("postgres://db/app?{parameters}")).unwrap().trust;
        assert_eq!(trust("sslmode=disable"), None);
        assert_eq!(trust("pool=5"), Some(Trust::Anyone));
        assert_eq!(trust("sslmode=require"), Some(Trust::Anyone));
        let file = Roots::File("/etc/my ca.pem".into());
        assert_eq!(
            trust("sslrootcert=/etc/my%20ca.pem&sslmode=require"),
            Some(Trust::Authority(file.clone()))
        );
        assert_eq!(trust("sslmode=verify-full&sslrootcert=/etc/my%20ca.pem"), Some(Trust::Name(file)));
        assert_eq!(trust("sslmode=verify-full"), Some(Trust::Name(Roots::System)));
        assert!(read("postgres://db/app?sslmode=required").is_err());
        assert!(
            read("postgres://db/app?sslkey=/etc/key.pem").is_err(),
            "a key that is not used was not named"
        );
    }

    #[test]
    fn by_another_way_a_server_keeps_its_name() {
        let url =
            Secret::new("postgres://app:hunter%402@db.internal:6432/app?sslmode=verify-full".to_owned());
        let address = Address::of(Target::at(&url, "127.0.0.1:40000".parse().unwrap())).unwrap();
        assert_eq!(address.server, "db.internal:6432/app");
        assert_eq!(address.trust, Some(Trust::Name(Roots::System)));
        assert_eq!(address.config.get_hosts(), [Host::Tcp("db.internal".to_owned())]);
        assert_eq!((address.config.get_ports(), address.config.get_hostaddrs().len()), (&[40_000][..], 1));
        assert_eq!(address.config.get_password(), Some(&b"hunter@2"[..]));
        assert_eq!(read(url.expose()).unwrap().place().unwrap(), ("db.internal".to_owned(), 6432));
        assert!(read("postgresql:///app?host=/run/postgresql").unwrap().place().is_err());
    }

    #[test]
    fn what_a_session_must_be_able_to_is_asked_of_every_server() {
        use tokio_postgres::config::TargetSessionAttrs::{Any, ReadWrite};
        let url =
            |demand: &str| Secret::new(format!("postgres://db-1,db-2/app?target_session_attrs={demand}"));
        for (demand, asked) in [("any", Any), ("read-write", ReadWrite), ("primary", ReadWrite)] {
            let address = Address::of(Target::from(&url(demand))).unwrap();
            assert_eq!(address.config.get_target_session_attrs(), asked, "{demand}");
        }
        assert!(Address::read(&url("standby")).is_err() && Address::read(&url("read-only")).is_err());
    }

    #[test]
    fn two_urls_of_one_server_are_known() {
        let urls = |one: &str, other: &str| [one, other].map(|url| Secret::new(url.to_owned()));
        let share = |[one, other]: [Secret; 2]| share_a_server((&one).into(), (&other).into()).unwrap();
        assert!(share(urls("postgres://db/app", "postgresql://copy:x@DB.:5432/other?sslmode=require")));
        assert!(share(urls("postgres://db-1,db-2:5433/app", "postgres://db-2:5433/app")));
        assert!(!share(urls("postgres://db/app", "postgres://db:5433/app")));
        assert!(!share(urls("postgres://db/app", "postgres://copy/app")));
        let [one, other] = urls("postgres://localhost/app", "postgres://localhost/app");
        let by_host = Target::at(&other, "127.0.0.1:40000".parse().unwrap());
        assert!(!share_a_server((&one).into(), by_host).unwrap(), "a host's own localhost is another one");
    }

    #[test]
    fn no_error_repeats_the_url() {
        for url in ["mysql2://app:hunter2@db/app", "postgres://app:hunter2@db:port/app"] {
            let error = read(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
