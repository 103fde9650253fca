//! Requests that are sent on a canary's behalf where clients send too few.

use serde::{Deserialize, Serialize};

use crate::{HttpCheck, Span};

/// What is sent, and how much of it. Both versions get each request, straight from their host and past the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synthetic {
    /// How many requests the new version is to get in a second, clients' ones included.
    pub rate: u16,
    /// For each answer; none within it is a failure, as any other than the declared one is.
    pub timeout: Span,
    /// One after the other, and again from the first.
    pub requests: Vec<HttpCheck>,
}

impl Synthetic {
    /// How many are to be sent in a second in which clients sent so many to the new version.
    pub fn missing(&self, clients: u64) -> u64 {
        u64::from(self.rate).saturating_sub(clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_requests_count_first() {
        let synthetic = Synthetic { rate: 5, timeout: Span::seconds(5), requests: vec![HttpCheck::get("/")] };
        assert_eq!([0, 2, 5, 900].map(|clients| synthetic.missing(clients)), [5, 3, 0, 0]);
    }
}
