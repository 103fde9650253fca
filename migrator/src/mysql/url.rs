//! The URL of a MySQL or MariaDB database, and what of it we can use.

use std::time::Duration;

use cutover_secrets::Secret;
use mysql_async::{OptsBuilder, SslOpts};
use url::Url;

use crate::percent::unescape;
use crate::roots::Roots;
use crate::{Error, Target};

/// The schemes that are in use for it: MariaDB's own, and those of Rails' adapters.
const SCHEMES: [&str; 4] = ["mysql", "mariadb", "mysql2", "trilogy"];

/// How long the peer may be silent before it is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(30);

const EXPECTED: &str =
    "expected mysql://user:password@host:port/database, with special characters escaped (%40 for @)";

/// How a connection is to be protected, by the names of MySQL's clients (manual, 6.3.1, `--ssl-mode`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Not at all.
    Disabled,
    /// By TLS where the server offers it.
    Preferred,
    /// By TLS, whoever is at the other end.
    Required,
    /// By TLS, with a certificate of these authorities for the server's name.
    Identity(Roots),
}

/// The address of a database.
pub(super) struct Address {
    /// How to connect, but for TLS.
    pub(super) options: OptsBuilder,
    /// What to call it: host and port, or socket, and the database.
    pub(super) server: String,
    /// The server's host and port; none: it is a socket.
    place: Option<(String, u16)>,
    /// How it is to be protected.
    pub(super) mode: Mode,
    /// The name that the certificate must be for, where it isn't that of the host.
    name: Option<String>,
}

impl Address {
    /// The address of `database`, by the way that leads to it.
    pub(super) fn of(database: Target<'_>) -> Result<Self, Error> {
        let address = Self::read(database.url)?;
        let Some(at) = database.at else { return Ok(address) };
        let (host, _) = address.place()?;
        let options = address.options.ip_or_hostname(at.ip().to_string()).tcp_port(at.port());
        // The name stays that of the server, by which its certificate is judged.
        let name = address.name.or(Some(host));
        Ok(Self { options, name, ..address })
    }

    /// The server's host and port.
    ///
    /// # Errors
    /// A socket.
    pub(crate) fn place(&self) -> Result<(String, u16), Error> {
        let socket = Error::Url(
            "for via: host it names a server by its host: mysql://user:password@host:port/database",
        );
        self.place.clone().ok_or(socket)
    }

    /// Reads a `mysql://` URL.
    pub(super) fn read(url: &Secret) -> Result<Self, Error> {
        // The reason is left out: it can quote the URL.
        let url = Url::parse(url.expose()).map_err(|_| Error::Url(EXPECTED))?;
        if !SCHEMES.contains(&url.scheme()) {
            return Err(Error::Url(EXPECTED));
        }
        let decoded = |text: &str| unescape(text).ok_or(Error::Url(EXPECTED));
        // What isn't escaped in a password ends up here, and would be told as the database's name.
        if url.path().trim_start_matches('/').contains(['/', '@', ':']) {
            return Err(Error::Url(EXPECTED));
        }
        let database = decoded(url.path().trim_start_matches('/'))?;
        if database.is_empty() {
            return Err(Error::Url("it names no database: mysql://user:password@host:port/database"));
        }
        let (mut socket, mut mode, mut authorities, mut name) = (None, None, None, None);
        for parameter in url.query().unwrap_or_default().split('&') {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = decoded(value)?;
            match key.replace('_', "-").as_str() {
                "socket" => socket = Some(value),
                "ssl-mode" | "sslmode" => mode = Some(value.to_ascii_uppercase()),
                "ssl-ca" | "sslca" => authorities = Some(value),
                "tls-sni-servername" => name = Some(value),
                "ssl-cert" | "sslcert" | "ssl-key" | "sslkey" => {
                    return Err(Error::Url("certificates of clients can't be used; give a password"));
                }
                _ => tracing::debug!(
                    parameter = key,
                    "a parameter of the database's URL is not about the connection"
                ),
            }
        }
        let host = url.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
        let host = decoded(host.trim_start_matches('[').trim_end_matches(']'))?;
        let port = url.port().unwrap_or(3306);
        let server = match &socket {
            Some(socket) => format!("{socket}/{database}"),
            None => format!("{host}:{port}/{database}"),
        };
        let place = socket.is_none().then(|| (host.clone(), port));
        let user = decoded(url.username())?;
        let options = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(user).filter(|user| !user.is_empty()))
            .pass(url.password().map(decoded).transpose()?)
            .db_name(Some(database))
            .socket(socket)
            // It would leave the address that was given for a socket of this machine.
            .prefer_socket(false)
            .tcp_keepalive(Some(SILENCE));
        Ok(Self { options, server, place, mode: demand(mode.as_deref(), authorities)?, name })
    }

    /// The same with TLS as the mode demands.
    ///
    /// # Errors
    /// When the authorities can't be read.
    pub(super) fn secured(&self) -> Result<OptsBuilder, Error> {
        let tls = match &self.mode {
            Mode::Disabled => return Ok(self.options.clone()),
            Mode::Preferred | Mode::Required => SslOpts::default().with_danger_accept_invalid_certs(true),
            Mode::Identity(roots) => {
                let roots = roots.certificates()?.into_iter().map(|certificate| certificate.to_vec().into());
                SslOpts::default()
                    .with_root_certs(roots.collect())
                    .with_disable_built_in_roots(true)
                    .with_danger_tls_hostname_override(self.name.clone())
            }
        };
        Ok(self.options.clone().ssl_opts(tls))
    }
}

/// The host and the port of the server at `url`.
///
/// # Errors
/// A URL that can't be read, or names no host.
pub(crate) fn place(url: &Secret) -> Result<(String, u16), Error> {
    Address::read(url)?.place()
}

/// Whether two URLs name the same server, by the same way.
///
/// # Errors
/// A URL that can't be read.
pub(crate) fn share_a_server(one: Target<'_>, other: Target<'_>) -> Result<bool, Error> {
    let place = |url| {
        let server = Address::read(url)?.server;
        Ok::<_, Error>(server.rsplit_once('/').map(|(place, _)| place.to_ascii_lowercase()))
    };
    Ok(one.at.is_some() == other.at.is_some() && place(one.url)? == place(other.url)?)
}

/// What a mode demands. Authorities that nothing is checked by would look like a protection, and be none.
fn demand(mode: Option<&str>, authorities: Option<String>) -> Result<Mode, Error> {
    let mode = match mode.unwrap_or("PREFERRED") {
        "DISABLED" => Mode::Disabled,
        "PREFERRED" => Mode::Preferred,
        "REQUIRED" => Mode::Required,
        "VERIFY_IDENTITY" => {
            let roots = authorities.filter(|file| file != "system");
            return Ok(Mode::Identity(roots.map_or(Roots::System, |file| Roots::File(file.into()))));
        }
        "VERIFY_CA" => {
            return Err(Error::Url(
                "ssl-mode=VERIFY_CA can't be had, as the name in a certificate is always looked at: use VERIFY_IDENTITY, with tls-sni-servername=… where the name isn't the host's",
            ));
        }
        _ => {
            return Err(Error::Url("ssl-mode is one of DISABLED, PREFERRED, REQUIRED, VERIFY_IDENTITY"));
        }
    };
    match authorities {
        None => Ok(mode),
        Some(_) => Err(Error::Url("ssl-ca is of use with ssl-mode=VERIFY_IDENTITY only")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use mysql_async::Opts;

    use super::*;

    fn read(url: &str) -> Result<Address, Error> {
        Address::read(&Secret::new(url.to_owned()))
    }

    #[test]
    fn a_database_is_called_by_its_address_without_the_password() {
        let address = read("mysql2://app:hunter%402@db.example.com:3307/shop?pool=5").unwrap();
        assert_eq!(address.server, "db.example.com:3307/shop");
        assert_eq!(Opts::from(address.options).pass(), Some("hunter@2"));
        assert_eq!(read("mariadb://[::1]/shop").unwrap().server, "::1:3306/shop");
        let socket = read("mysql://app@localhost/shop?socket=%2Frun%2Fmysqld%2Fmysqld.sock").unwrap();
        assert_eq!(socket.server, "/run/mysqld/mysqld.sock/shop");
    }

    #[test]
    fn how_much_is_checked_is_said_as_to_the_servers_own_clients() {
        let mode = |parameters: &str| read(&format!("mysql://db/shop?{parameters}")).map(|found| found.mode);
        assert_eq!(mode("").unwrap(), Mode::Preferred);
        assert_eq!(mode("ssl-mode=DISABLED").unwrap(), Mode::Disabled);
        assert_eq!(mode("ssl_mode=required").unwrap(), Mode::Required);
        assert_eq!(mode("ssl-mode=VERIFY_IDENTITY").unwrap(), Mode::Identity(Roots::System));
        let file = Roots::File("/etc/my ca.pem".into());
        assert_eq!(mode("ssl-mode=VERIFY_IDENTITY&ssl-ca=/etc/my%20ca.pem").unwrap(), Mode::Identity(file));
        for wrong in ["ssl-mode=verify", "ssl-mode=VERIFY_CA", "ssl-ca=/etc/ca.pem", "ssl-key=/etc/key.pem"] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_urls_of_one_server_are_known() {
        let share = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|url| Secret::new(url.to_owned()));
            share_a_server((&one).into(), (&other).into()).unwrap()
        };
        assert!(share("mysql://db/shop", "mysql2://copy:x@DB:3306/other?ssl-mode=REQUIRED"));
        assert!(!share("mysql://db/shop", "mysql://db:3307/shop"));
        assert!(!share("mysql://db/shop", "mysql://copy/shop"));
    }

    #[test]
    fn by_another_way_a_server_keeps_its_name() {
        let url =
            Secret::new("mysql://app:hunter%402@db.internal:3307/shop?ssl-mode=VERIFY_IDENTITY".to_owned());
        let address = Address::of(Target::at(&url, "127.0.0.1:40000".parse().unwrap())).unwrap();
        assert_eq!(
            (address.server.as_str(), address.name.as_deref()),
            ("db.internal:3307/shop", Some("db.internal"))
        );
        let options = Opts::from(address.options);
        assert_eq!((options.ip_or_hostname(), options.tcp_port()), ("127.0.0.1", 40_000));
        assert_eq!(read(url.expose()).unwrap().place().unwrap(), ("db.internal".to_owned(), 3307));
        assert!(read("mysql://app@localhost/shop?socket=%2Frun%2Fmysqld.sock").unwrap().place().is_err());
    }

    #[test]
    fn no_error_repeats_the_url() {
        for url in
            ["postgres://app:hunter2@db/app", "mysql://app:hunter2@db:port/app", "mysql://app:hunter2@db"]
        {
            let error = read(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
