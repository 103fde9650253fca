use std::time::Duration;

use cutover_control::{Timeouts, Upstream};

/// What a service allows its applications and their clients.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Until a target accepts a connection.
    pub(crate) connect: Duration,
    /// Until an answer begins.
    pub(crate) response: Duration,
    /// The longest silence within the body of a response and on an upgraded connection.
    pub(crate) idle: Option<Duration>,
    /// From the head of a request to the end of its response.
    pub(crate) total: Option<Duration>,
    /// For how long the share of a target grows.
    pub(crate) slow_start: Option<Duration>,
    /// Whether requests may take the short way, which knows nothing of limits of connections and of requests as a whole.
    pub(crate) short_way: bool,
    /// Bytes of a request's body.
    pub(crate) request_body: Option<u64>,
}

impl Limits {
    pub(crate) fn new(timeouts: &Timeouts, upstream: &Upstream, request_body: Option<u64>) -> Self {
        let some = |millis: u64| (millis > 0).then(|| Duration::from_millis(millis));
        Self {
            connect: Duration::from_millis(timeouts.connect_ms),
            response: Duration::from_millis(timeouts.response_ms),
            idle: some(timeouts.idle_ms),
            total: some(timeouts.total_ms),
            slow_start: some(upstream.slow_start_ms),
            short_way: timeouts.total_ms == 0
                && upstream.max_connections.is_none()
                && upstream.max_idle.is_none(),
            request_body,
        }
    }
}
