//! The connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, context::GetStreamErrorKind};
use cutover_core::{BusUser, JournalId};
pub(crate) use cutover_core::{
    LEASE_STREAM as LEASE, LOG_STREAM as LOG, OUTPUT_STREAM as OUTPUT, REQUESTS_CONSUMER as REQUESTS,
    TIMER_STREAM as TIMER, TRIGGER_STREAM as TRIGGER, WAKE_CONSUMER as WAKE,
};

use crate::listener::{Line, Listener, is_deaf};
use crate::refusals::Refusals;
use crate::rough::Rough;
use crate::signature::Roster;
use crate::{Access, Error, Journal, Key};

/// The key of the journal's id in the stream's metadata.
pub(crate) const JOURNAL_ID: &str = "cutover.journal";

/// The key of whose signatures it takes.
pub(crate) const USERS: &str = "cutover.users";
/// The key of the sequence from which on.
pub(crate) const SIGNED_FROM: &str = "cutover.signed-from";

/// What requests to JetStream begin with where the bus tells no users apart.
const API: &str = "$JS.API";

/// How long a worker may be silent before its task is handed to another.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(8);

pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Whether all servers of an address, as [`Bus::connect`] takes it, are reached over the loopback: the bus is for this machine.
pub fn is_local(url: &str) -> bool {
    url.split(',').all(|url| {
        let Ok(address) = url.trim().parse::<async_nats::ServerAddr>() else { return false };
        let host = address.host();
        let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(is_loopback)
    })
}

/// A connection to NATS. It reconnects by itself; cloning it is cheap. What comes with headers that others have written comes by a
/// second one, which is made when it is needed.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) refusals: Refusals,
    pub(crate) key: Option<Arc<Key>>,
    listener: Arc<Listener>,
    pub(crate) rough: Arc<Rough>,
}

impl Bus {
    /// Connects to a bus that tells no users apart, or tells them by a password in the address, as [`Access::url`] has it.
    ///
    /// # Errors
    /// As [`Bus::enter`].
    pub async fn connect(url: &str, name: &str) -> Result<Self, Error> {
        Self::enter(&Access::open(url), name).await
    }

    /// Connects. `name` is what the server calls the connection.
    ///
    /// # Errors
    /// An address that can't be read, or a server that isn't reached within 5 s.
    pub async fn enter(access: &Access, name: &str) -> Result<Self, Error> {
        let refusals = Refusals::default();
        let client = connect(access, name, &refusals).await?;
        let jetstream = jetstream::with_prefix(client.clone(), api_of(access));
        let listener = Arc::new(Listener::new(access, name, &refusals));
        Ok(Self { client, jetstream, refusals, key: access.key.clone(), listener, rough: Arc::default() })
    }

    /// The connection for what comes with headers that others have written.
    ///
    /// # Errors
    /// A server that isn't reached.
    pub(crate) async fn line(&self) -> Result<Line, Error> {
        Box::pin(self.listener.line()).await
    }

    /// To be called where something has failed on that one: whether it has ended, and another has to be made. It is said once.
    pub(crate) async fn has_ended(&self, line: &Line) -> bool {
        self.listener.has_ended(line).await
    }

    /// Whether whoever is connected writes snapshots, purges and makes consumers: who may write a snapshot may say anything of a
    /// service. Where the bus tells no users apart, everybody does.
    pub(crate) fn administers(&self) -> bool {
        self.key.as_ref().is_none_or(|key| key.user() == BusUser::Operator)
    }

    /// Whether nobody else does.
    pub(crate) fn administers_alone(&self) -> bool {
        self.key.is_some() && self.administers()
    }

    /// A subject of JetStream's API, as it is called in the account that this is a connection to.
    pub(crate) fn api(&self, subject: &str) -> String {
        format!("{}.{subject}", self.key.as_ref().map_or(API, |key| key.user().api_prefix()))
    }

    /// A text that nobody else has.
    pub(crate) fn unique(&self) -> String {
        let inbox = self.client.new_inbox();
        inbox.rsplit('.').next().unwrap_or(&inbox).to_owned()
    }

    /// Opens the journal.
    ///
    /// # Errors
    /// A journal that nobody has set up; [`Error::NotTaken`], where it doesn't take what this connection's key signs: a program
    /// waits until it does, as one that began before would take others' entries for forged, and nobody would take its own.
    pub async fn open(&self) -> Result<Journal, Error> {
        const DOING: &str = "opening the journal";
        let (id, roster) = self.identity(DOING).await?;
        match self.key.as_deref() {
            Some(key) if !self.administers() && roster.is_empty() => {
                tracing::debug!(user = %key.user(), "nobody has written down whose signatures the journal takes");
                Err(Error::NotSetUp)
            }
            Some(key) if matches!(key.user(), BusUser::Program(_)) => {
                roster.check(key, DOING)?;
                Ok(Journal::new(self.clone(), id, roster))
            }
            _ => Ok(Journal::new(self.clone(), id, roster)),
        }
    }

    /// Which journal the server has, and whose signatures it takes.
    pub(crate) async fn identity(&self, doing: &'static str) -> Result<(JournalId, Roster), Error> {
        let refused = self.refusals.of([self.api(&format!("STREAM.INFO.{LOG}"))].into_iter());
        let stream = tokio::select! {
            stream = self.jetstream.get_stream(LOG) => stream,
            _ = refused.next() => return Err(Error::EarlierServer),
        };
        let stream = stream.map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(error) => Error::of_jetstream(doing, &error),
            _ => Error::Request { doing, message: error.to_string() },
        })?;
        let metadata = &stream.cached_info().config.metadata;
        let id = metadata.get(JOURNAL_ID).ok_or(Error::ForeignStream(LOG))?;
        Ok((JournalId(id.clone()), Roster::read(metadata.get(SIGNED_FROM), metadata.get(USERS))))
    }

    /// The stream of the journal, without a question to the server.
    pub(crate) async fn log(&self) -> Result<Stream<()>, Error> {
        self.stream(LOG).await
    }

    /// Any stream, without a question to the server.
    pub(crate) async fn stream(&self, name: &str) -> Result<Stream<()>, Error> {
        self.jetstream
            .get_stream_no_info(name)
            .await
            .map_err(|error| Error::Request { doing: "opening a stream", message: error.to_string() })
    }

    /// Whether the client has ended, on which nothing comes that could end it, as far as is known.
    pub(crate) async fn is_deaf(&self) -> bool {
        is_deaf(&self.client).await
    }

    /// How often both connections were made: another number means that another server may be behind one.
    pub(crate) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed) + self.listener.connects()
    }
}

/// What requests to JetStream begin with for whoever enters so.
pub(crate) fn api_of(access: &Access) -> &'static str {
    access.user().map_or(API, BusUser::api_prefix)
}

/// Makes a connection.
pub(crate) async fn connect(
    access: &Access,
    name: &str,
    refusals: &Refusals,
) -> Result<async_nats::Client, Error> {
    let url = &access.url;
    let address = |url: &str| url.trim().parse().map_err(|_| Error::Address(without_credentials(url)));
    let addresses: Vec<async_nats::ServerAddr> = url.split(',').map(address).collect::<Result<_, _>>()?;
    let mut options = async_nats::ConnectOptions::new()
        .name(name)
        .connection_timeout(CONNECT_LIMIT)
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(delay)
        .event_callback(refusals.listener());
    let account = |address: &async_nats::ServerAddr| {
        address.username().map(str::to_owned).zip(address.password().map(str::to_owned))
    };
    if let Some(key) = &access.key {
        options = options.nkey(key.seed()).custom_inbox_prefix(key.user().inbox());
    } else if let Some((user, password)) = addresses.iter().find_map(account) {
        options = options.user_and_password(user, password);
    }
    if let Some(roots) = &access.roots {
        options = options.add_root_certificates(roots.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &access.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
    }
    // Much state, for one moment of a connection.
    Box::pin(options.connect(addresses))
        .await
        .map_err(|source| Error::Unreachable { url: without_credentials(url), source })
}

/// How long an attempt to connect is put off: the first, which is counted too, not at all, the later ones for up to 2 s.
fn delay(attempts: usize) -> Duration {
    Duration::from_millis(100 * u64::try_from(attempts.saturating_sub(1).min(20)).unwrap_or(20))
}

/// Addresses that may be shown: without user and password.
fn without_credentials(url: &str) -> String {
    url.split(',').map(one_without_credentials).collect::<Vec<_>>().join(",")
}

fn one_without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_local, without_credentials};

    #[test]
    fn a_bus_is_local_where_all_of_it_is_on_the_loopback() {
        let local =
            ["nats://a:b@127.0.0.1:4222", "localhost", "nats://[::1]:4222", "nats://127.0.0.1:1,127.9.9.9:2"];
        let remote = [
            "nats://10.0.0.1:4222",
            "nats",
            "nats://127.0.0.1:1,nats://10.0.0.1:2",
            "localhost.example.org",
            "",
        ];
        assert!(local.iter().all(|url| is_local(url)));
        assert!(!remote.iter().any(|url| is_local(url)));
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(without_credentials("nats://app:hunter2@10.0.0.1:4222"), "nats://10.0.0.1:4222");
        assert_eq!(without_credentials("app:hunter2@host"), "host");
        assert_eq!(without_credentials("nats://host:4222"), "nats://host:4222");
        assert_eq!(without_credentials("nats://a:b@host,nats://a:b@other"), "nats://host,nats://other");
    }
}
