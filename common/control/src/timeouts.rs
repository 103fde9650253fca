use serde::{Deserialize, Serialize};

/// How long the application may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From the last byte of a request to the head of its response; then the client gets 504.
    pub response_ms: u64,
    /// Until a replica accepts a connection; then another one is asked or, where there is none, the client gets 504.
    #[serde(default = "connect_ms", skip_serializing_if = "is_usual_connect")]
    pub connect_ms: u64,
    /// The longest silence within the body of a response, and of both sides on an upgraded connection; then it is cut. 0:
    /// both may be silent for as long as they like.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub idle_ms: u64,
    /// From the head of a request to the end of its response, however it goes on; upgraded connections are left alone. 0:
    /// there is no such limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total_ms: u64,
}

impl Timeouts {
    /// [`connect_ms`](Self::connect_ms) where nothing else is said.
    pub const CONNECT_MS: u64 = 2_000;

    /// The usual ones, but for the wait for a response.
    pub const fn of_response(response_ms: u64) -> Self {
        Self { response_ms, connect_ms: Self::CONNECT_MS, idle_ms: 0, total_ms: 0 }
    }
}

const fn connect_ms() -> u64 {
    Timeouts::CONNECT_MS
}

fn is_usual_connect(millis: &u64) -> bool {
    *millis == Timeouts::CONNECT_MS
}

fn is_zero(millis: &u64) -> bool {
    *millis == 0
}
