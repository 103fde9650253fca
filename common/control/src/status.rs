use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    CanaryStatus, CertificateStatus, Epoch, MaintenanceStatus, PauseStatus, Port, Route, ServiceKey,
};

/// One service as the proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The service.
    pub key: ServiceKey,
    /// The fence: the highest claim that was seen.
    pub epoch: Epoch,
    /// Which requests are the service's.
    pub route: Route,
    /// Other ports of its replicas, and which requests go there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// What new requests go to; with none they are answered 503.
    pub active: Option<SetStatus>,
    /// What a restore would bring back.
    pub previous: Option<SetStatus>,
    /// What can't be restored and still has something in flight.
    pub draining: Vec<SetStatus>,
    /// What sets had counted that are gone, by release, as long as the release has others: so its sums never fall.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<SetStatus>,
    /// What is shown for its names in a TLS handshake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    /// What gets a share of the new requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
    /// New requests wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseStatus>,
    /// New requests get a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenanceStatus>,
}

impl ServiceStatus {
    /// A service that is routed for the default host, and has nothing that could answer.
    pub fn new(key: ServiceKey, epoch: Epoch) -> Self {
        Self {
            key,
            epoch,
            route: Route::default(),
            ports: Vec::new(),
            active: None,
            previous: None,
            draining: Vec::new(),
            forgotten: Vec::new(),
            certificates: Vec::new(),
            canary: None,
            pause: None,
            maintenance: None,
        }
    }

    /// All sets, what serves first.
    pub fn sets(&self) -> impl Iterator<Item = &SetStatus> {
        let canary = self.canary.as_ref().map(|canary| &canary.set);
        self.active.iter().chain(canary).chain(&self.previous).chain(&self.draining)
    }
}

/// The targets of one deployment and what became of the requests that they got.
///
/// The counters are cumulative since the set began to serve, or since the proxy's start where that was later; a
/// switch or a restore does not reset them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetStatus {
    /// The deployment.
    pub deployment: String,
    /// The release that it runs.
    pub release: String,
    /// Its replicas.
    pub targets: Vec<TargetStatus>,
    /// Requests that were answered, by the application or, for want of its answer, by the proxy.
    pub requests: u64,
    /// Of those, the ones that the application answered with 5xx.
    pub server_errors: u64,
    /// Of those, the ones that the proxy answered with 502, 503 or 504, and responses that the application cut off, or
    /// within which it was silent for too long.
    pub proxy_errors: u64,
    /// The application's answers by class, 1xx to 5xx.
    #[serde(default)]
    pub classes: [u64; 5],
    /// Requests that were sent again, to another replica or on another connection.
    #[serde(default)]
    pub retries: u64,
    /// Bytes of the bodies of requests, as far as they were taken from clients.
    #[serde(default)]
    pub request_bytes: u64,
    /// Bytes of the bodies of the application's answers.
    #[serde(default)]
    pub response_bytes: u64,
    /// How often a replica was left out for a while because its requests had failed.
    #[serde(default)]
    pub ejections: u64,
    /// Of what was in flight on displaced targets, what came to its end.
    #[serde(default)]
    pub drained: u64,
    /// Of that, what was cut when its time was over: requests, streams and upgraded connections.
    #[serde(default)]
    pub cut: [u64; 3],
    /// Time to the heads of all responses, added up, in microseconds.
    #[serde(default)]
    pub latency_sum_us: u64,
    /// Time to the head of the response: pairs of an upper bound in milliseconds (inclusive) and how many responses
    /// took at most that and more than the bound before; not cumulative. The last bound is [`u64::MAX`].
    pub latency: Vec<(u64, u64)>,
}

impl SetStatus {
    /// A set without targets, to which nothing has happened.
    pub fn new(deployment: &str, release: &str) -> Self {
        Self {
            deployment: deployment.to_owned(),
            release: release.to_owned(),
            targets: Vec::new(),
            requests: 0,
            server_errors: 0,
            proxy_errors: 0,
            classes: [0; 5],
            retries: 0,
            request_bytes: 0,
            response_bytes: 0,
            ejections: 0,
            drained: 0,
            cut: [0; 3],
            latency_sum_us: 0,
            latency: Vec::new(),
        }
    }
}

/// One replica and what it is busy with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// The replica's name on its host.
    pub replica: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What the active check says; true where there is none.
    pub healthy: bool,
    /// It is left out for a while because its requests have failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ejected: bool,
    /// Requests whose response has not ended, and upgraded connections that are still open.
    pub in_flight: u64,
    /// Of those, the long streams: responses whose body goes on a while after its head, and server-sent events.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub streams: u64,
    /// Of those, the upgraded connections: WebSockets and others that have left HTTP.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub upgraded: u64,
}

impl TargetStatus {
    /// A healthy replica with nothing in flight.
    pub fn new(replica: &str, address: SocketAddr) -> Self {
        Self {
            replica: replica.to_owned(),
            address,
            healthy: true,
            ejected: false,
            in_flight: 0,
            streams: 0,
            upgraded: 0,
        }
    }

    /// What is in flight and neither a stream nor an upgraded connection.
    pub fn requests(&self) -> u64 {
        self.in_flight.saturating_sub(self.streams + self.upgraded)
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
