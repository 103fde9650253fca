//! Answers over HTTP: JSON, by types.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::refusal::Refusal;

/// What a sender is told.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// The ids of what is asked for: all of it is stored.
    Requests(Vec<String>),
    /// Nothing is asked for, and why.
    Ignored(String),
    /// It is refused, and why.
    Error(String),
}

impl Answer {
    pub(crate) fn with(&self, status: StatusCode) -> Response<Full<Bytes>> {
        // Texts and lists of them can be written.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// The answer to what is refused.
pub(crate) fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut response = Answer::Error(refusal.to_string()).with(refusal.status());
    if let Some(wait) = refusal.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
    if *refusal == Refusal::Method {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}
