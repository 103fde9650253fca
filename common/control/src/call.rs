use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::line::{from_line, to_line};
use crate::{
    Account, Canary, Certificate, Challenge, Ejection, Error, Maintenance, OLDEST_PROTOCOL, Pause, Port,
    Route, ServiceKey, Timeouts, TlsPolicy, Upstream,
};

/// One line from a client to the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The version of the protocol that the call is in; the proxy refuses one that it doesn't know.
    pub protocol: u32,
    /// What is asked.
    pub request: Request,
}

impl Call {
    /// A call in the oldest version that has all that is asked. So a proxy that is older than its clients does what it
    /// can, and refuses what it would otherwise take for something else: it skips the fields that it doesn't know.
    pub fn new(request: Request) -> Self {
        let protocol = match &request {
            Request::Switch(switch) => switch.protocol(),
            Request::Canary(canary) => canary.switch.protocol().max(4),
            Request::Certify { .. }
            | Request::Certificates
            | Request::KeepAccount { .. }
            | Request::Answer { .. }
            | Request::Pause(_)
            | Request::Resume { .. }
            | Request::Maintenance(_)
            | Request::EndMaintenance { .. } => 4,
            Request::Status | Request::Restore { .. } | Request::Retire { .. } | Request::Adopt { .. } => {
                OLDEST_PROTOCOL
            }
        };
        Self { protocol, request }
    }

    /// The call as one line, newline included.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] when it exceeds [`MAX_LINE`](crate::MAX_LINE).
    pub fn to_line(&self) -> Result<Vec<u8>, Error> {
        to_line(self, "call")
    }

    /// Reads a call from one line, with or without its newline.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] when the line is no call.
    pub fn from_line(line: &[u8]) -> Result<Self, Error> {
        from_line(line, "call")
    }
}

/// What can be asked of the proxy. What changes where requests go is fenced by its epoch or journal; what belongs to TLS
/// isn't: it is true whoever says it, and of two certificates from one order to the next the longer one stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What is routed where, how healthy it is and what it has answered so far.
    Status,
    /// New requests go to a deployment from now on.
    Switch(Box<Switch>),
    /// A deployment gets a share of the new requests, as long as this is asked again and again.
    Canary(Box<Canary>),
    /// Take a deployment back: raises the fence in any case; when the deployment is the active one, the previous one
    /// (or nothing, when there was none) serves again and the taken-back one drains; when it is the canary, it drains.
    /// Idempotent.
    Restore {
        /// The service.
        key: ServiceKey,
        /// The claim under which this is asked.
        epoch: Epoch,
        /// The deployment to take back.
        deployment: String,
    },
    /// A deployment is live for good: the previous one can't be restored any more. Asked again until nothing that may
    /// be stopped is still draining. Idempotent.
    Retire {
        /// The service.
        key: ServiceKey,
        /// The claim under which this is asked.
        epoch: Epoch,
        /// The deployment that stays.
        deployment: String,
    },
    /// Forget the fence of another journal and accept this one from now on: an operator's command.
    Adopt {
        /// The service.
        key: ServiceKey,
        /// The id of the journal to accept.
        journal: String,
    },
    /// Let new requests wait: an operator's command.
    Pause(Pause),
    /// Let those that wait go on, and the others come. Idempotent.
    Resume {
        /// The service.
        key: ServiceKey,
        /// The journal that the proxy must obey for this service; none: whichever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        journal: Option<String>,
    },
    /// Answer new requests with a page that says that the service is away: an operator's command.
    Maintenance(Box<Maintenance>),
    /// Serve again. Idempotent.
    EndMaintenance {
        /// The service.
        key: ServiceKey,
        /// The journal that the proxy must obey for this service; none: whichever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        journal: Option<String>,
    },
    /// Show a certificate for its names from the next handshake on; what the service had before goes where it has no other
    /// names, or is over, and the rest once the service is retired with other hosts. Refused when the
    /// chain can't be read, is over or names no host, and when the key isn't the certificate's. One that was
    /// ordered where the one that is there was, has no name that it lacks, and ends earlier, changes nothing. Idempotent.
    Certify {
        /// The service.
        key: ServiceKey,
        /// What is shown.
        certificate: Certificate,
    },
    /// All certificates with their keys, and the accounts: the proxies of a fleet are the only place where these are kept.
    Certificates,
    /// Keep an account, in place of the one at the same authority. Idempotent.
    KeepAccount {
        /// The account.
        account: Account,
    },
    /// Answer a certificate authority from now on, for an hour. Idempotent.
    Answer {
        /// What it will ask.
        challenge: Challenge,
    },
}

/// New requests go to a deployment from now on; answered when the swap has happened.
///
/// Idempotent: when the deployment is already active only its targets and settings are updated, and what was previous
/// stays. Otherwise the active set becomes the previous one: it gets no new requests, what it has in flight goes on
/// for [`drain_ms`](Self::drain_ms) or [`drain_streams_ms`](Self::drain_streams_ms), and its counters stay readable.
///
/// Each target that isn't active yet must first pass the health check, once: one that died since it was ready must never
/// get any traffic. The proxy asks over the very way that the requests will take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The service.
    pub key: ServiceKey,
    /// The claim under which this is asked.
    pub epoch: Epoch,
    /// The deployment that the targets belong to.
    pub deployment: String,
    /// The release that the targets run.
    pub release: String,
    /// Which requests are the service's.
    pub route: Route,
    /// Where they go; at least one.
    pub targets: Vec<Target>,
    /// Other ports of the targets, and which requests of the service's go there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// How the targets are looked at before the switch, and watched from then on; `None` leaves them unwatched.
    pub health: Option<HealthCheck>,
    /// How long the application may take.
    pub timeouts: Timeouts,
    /// The bytes that the body of a request may have; a client that sends more gets 413. `None`: as many as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_request_body: Option<u64>,
    /// How the targets are dealt with.
    #[serde(flatten)]
    pub upstream: Upstream,
    /// How the service insists on TLS; `None`: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsPolicy>,
    /// How long requests in flight on displaced targets may go on before they are cut, in milliseconds.
    pub drain_ms: u64,
    /// The same for streams and upgraded connections. `None`: as long as requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_streams_ms: Option<u64>,
}

impl Switch {
    /// A switch of the default service, with the usual limits and no health check.
    pub fn new(key: ServiceKey, epoch: Epoch, deployment: &str, release: &str, targets: Vec<Target>) -> Self {
        Self {
            key,
            epoch,
            deployment: deployment.to_owned(),
            release: release.to_owned(),
            route: Route::default(),
            targets,
            ports: Vec::new(),
            health: None,
            timeouts: Timeouts::of_response(30_000),
            max_request_body: None,
            upstream: Upstream::default(),
            tls: None,
            drain_ms: 30_000,
            drain_streams_ms: None,
        }
    }

    /// The oldest version in which it is all said.
    fn protocol(&self) -> u32 {
        if self.health.as_ref().is_some_and(|check| check.connect_only) {
            6
        } else if self.needs_protocol_5() {
            5
        } else if self.needs_protocol_4() {
            4
        } else if self.needs_protocol_3() {
            3
        } else {
            OLDEST_PROTOCOL
        }
    }

    /// Whether a proxy of protocol 4 would do something else than is asked.
    fn needs_protocol_5(&self) -> bool {
        !self.ports.is_empty()
            || self.upstream.ejection != Ejection::default()
            || self.health.as_ref().is_some_and(|check| check.first_timeout_ms.is_some())
    }

    /// Whether a proxy of protocol 3 would do something else than is asked.
    fn needs_protocol_4(&self) -> bool {
        let unusual = |check: &HealthCheck| {
            check.failures != HealthCheck::FAILURES || check.successes != HealthCheck::SUCCESSES
        };
        self.tls.is_some()
            || self.drain_streams_ms.is_some()
            || self.timeouts.total_ms != 0
            || self.upstream != Upstream::default()
            || self.health.as_ref().is_some_and(unusual)
    }

    /// Whether a proxy of protocol 2 would do something else than is asked.
    fn needs_protocol_3(&self) -> bool {
        let Timeouts { response_ms: _, connect_ms, idle_ms, total_ms: _ } = self.timeouts;
        !self.route.path_prefixes.is_empty()
            || connect_ms != Timeouts::CONNECT_MS
            || idle_ms != 0
            || self.max_request_body.is_some()
    }
}

/// The claim of a task: of two of the same journal the one with the higher sequence is newer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// The journal's id, made once.
    pub journal: String,
    /// The sequence of the claim in that journal.
    pub sequence: u64,
}

/// One replica of the application.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The replica's name on its host.
    pub replica: String,
    /// Where it listens. An address, never a name: the proxy resolves none.
    pub address: SocketAddr,
}

/// An active check: `GET path` must answer 2xx, or only a connection be accepted. So many failures in a row take a target
/// out, so many successes bring it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// An absolute path, query included.
    pub path: String,
    /// Whether nothing is asked over a connection that was accepted: `path` says nothing then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub connect_only: bool,
    /// From one check to the next, in milliseconds.
    pub interval_ms: u64,
    /// How long one check may take, in milliseconds.
    pub timeout_ms: u64,
    /// The same of the one that a target must pass before it gets its first request. `None`: as long as the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_timeout_ms: Option<u64>,
    /// Failures in a row that take a target out.
    #[serde(default = "failures", skip_serializing_if = "are_usual_failures")]
    pub failures: u32,
    /// Successes in a row that bring it back.
    #[serde(default = "successes", skip_serializing_if = "are_usual_successes")]
    pub successes: u32,
}

impl HealthCheck {
    /// [`failures`](Self::failures) where nothing else is said.
    pub const FAILURES: u32 = 3;

    /// [`successes`](Self::successes) where nothing else is said.
    pub const SUCCESSES: u32 = 1;

    /// A check with the usual thresholds.
    pub fn new(path: &str, interval_ms: u64, timeout_ms: u64) -> Self {
        let (failures, successes) = (Self::FAILURES, Self::SUCCESSES);
        Self {
            path: path.to_owned(),
            connect_only: false,
            interval_ms,
            timeout_ms,
            first_timeout_ms: None,
            failures,
            successes,
        }
    }

    /// One that only connects, with the usual thresholds.
    pub fn of_connection(interval_ms: u64, timeout_ms: u64) -> Self {
        Self { connect_only: true, ..Self::new("", interval_ms, timeout_ms) }
    }

    /// How long the check before the first request may take, in milliseconds.
    pub fn first_limit_ms(&self) -> u64 {
        self.first_timeout_ms.unwrap_or(self.timeout_ms)
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

const fn failures() -> u32 {
    HealthCheck::FAILURES
}

const fn successes() -> u32 {
    HealthCheck::SUCCESSES
}

fn are_usual_failures(count: &u32) -> bool {
    *count == HealthCheck::FAILURES
}

fn are_usual_successes(count: &u32) -> bool {
    *count == HealthCheck::SUCCESSES
}
