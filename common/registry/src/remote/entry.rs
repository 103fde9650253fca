//! How one gets into a registry.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cutover_secrets::Secret;
use hyper::header::HeaderValue;
use serde::Deserialize;
use zeroize::Zeroizing;

/// The name and the password, and what they have opened.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) username: String,
    password: Secret,
    /// What the last question was answered with.
    shown: Mutex<Option<HeaderValue>>,
}

/// What is given out for a name and a password (Docker's token authentication specification): one of both.
#[derive(Deserialize)]
pub(super) struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Entry {
    pub(super) fn new(username: String, password: Secret) -> Self {
        Self { username, password, shown: Mutex::default() }
    }

    /// What to show with a request; nothing before it was asked for.
    pub(super) fn shown(&self) -> Option<HeaderValue> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn show(&self, value: Option<HeaderValue>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    /// Name and password (RFC 7617).
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let both = Zeroizing::new(format!("{}:{}", self.username, self.password.expose()));
        sensitive(&Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(both.as_bytes()))))
    }
}

impl Token {
    /// It as a request shows it (RFC 6750).
    pub(super) fn bearer(self) -> Option<HeaderValue> {
        let token = self.token.or(self.access_token)?;
        sensitive(&Zeroizing::new(format!("Bearer {token}")))
    }
}

/// A value that `Debug` doesn't tell.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
