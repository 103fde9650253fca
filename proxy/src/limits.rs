use std::time::Duration;

use cutover_control::Timeouts;

/// What a service allows its applications and their clients.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Until a target accepts a connection.
    pub(crate) connect: Duration,
    /// Until an answer begins.
    pub(crate) response: Duration,
    /// The longest silence within the body of a response and on an upgraded connection.
    pub(crate) idle: Option<Duration>,
    /// Bytes of a request's body.
    pub(crate) request_body: Option<u64>,
}

impl Limits {
    pub(crate) fn new(timeouts: &Timeouts, request_body: Option<u64>) -> Self {
        Self {
            connect: Duration::from_millis(timeouts.connect_ms),
            response: Duration::from_millis(timeouts.response_ms),
            idle: (timeouts.idle_ms > 0).then(|| Duration::from_millis(timeouts.idle_ms)),
            request_body,
        }
    }
}
