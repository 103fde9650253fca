use std::borrow::Cow;

use hyper::Version;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, PROXY_AUTHORIZATION, SET_COOKIE};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::exchange::Truncated;

/// The most bytes of anything that a client chooses.
const LONGEST: usize = 2048;

/// Fields whose values are never logged.
const SECRET: [HeaderName; 5] =
    [AUTHORIZATION, COOKIE, SET_COOKIE, PROXY_AUTHORIZATION, HeaderName::from_static("x-api-key")];

/// A line of the access log. What isn't known is left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Line<'a> {
    /// When the head of the request had come.
    pub(crate) time: String,
    /// The client's address.
    pub(crate) client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<&'static str>,
    /// The version of TLS, where there is TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<Cow<'a, str>>,
    /// Not known where the client was gone before there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Of the request's body, or what came over an upgraded connection.
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// From then to the head of the response, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) head_us: Option<u64>,
    /// From then to the end of the response.
    pub(crate) total_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destination: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deployment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replica: Option<&'a str>,
    pub(crate) retries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<&'a str>,
    /// Why the proxy answered itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rejection: Option<&'a str>,
    /// Why the response ended before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aborted: Option<Aborted>,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub(crate) headers: Fields<'a>,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub(crate) response_headers: Fields<'a>,
}

/// Why a response, or an upgraded connection, ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aborted {
    /// The client was gone.
    ClientClosed,
    /// The application was gone.
    ApplicationClosed,
    /// Nothing came for as long as the service allows.
    Silent,
    /// The service allows no longer for a request and its response.
    OutOfTime,
    /// The deployment was replaced, and the time for its last responses was over.
    Replaced,
    /// An upgraded connection broke on either side.
    Broken,
}

impl Aborted {
    /// Why a response's body has none of its end.
    pub(crate) fn of(why: &Truncated) -> Self {
        match why {
            Truncated::Application(_) => Self::ApplicationClosed,
            Truncated::Silent => Self::Silent,
            Truncated::OutOfTime => Self::OutOfTime,
            Truncated::Replaced => Self::Replaced,
        }
    }
}

/// Fields of a head, those that are secret without their values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fields<'a>(pub(crate) &'a [(HeaderName, HeaderValue)]);

impl Fields<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // One entry for each name: a second one of the same would hide the first from most who read JSON.
        for fields in self.0.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((name, _)) = fields.first() else { continue };
            if SECRET.contains(name) {
                map.serialize_entry(name.as_str(), "[redacted]")?;
                continue;
            }
            let values: Vec<_> =
                fields.iter().map(|(_, value)| String::from_utf8_lossy(value.as_bytes())).collect();
            map.serialize_entry(name.as_str(), &cut(&values.join(", ")))?;
        }
        map.end()
    }
}

/// As much of a text as is logged.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(LONGEST)]))
}

/// A version of HTTP as it is written.
pub(crate) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_is_never_in_a_line_and_a_name_is_there_once() {
        let field =
            |name: &'static str, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let fields = [
            field("cookie", "a=1"),
            field("cookie", "b=2"),
            field("accept", "text/plain"),
            field("accept", "text/html"),
            field("x-api-key", "k"),
            field("authorization", "Basic eDp5"),
        ];
        assert_eq!(
            serde_json::to_string(&Fields(&fields)).unwrap(),
            r#"{"cookie":"[redacted]","accept":"text/plain, text/html","x-api-key":"[redacted]","authorization":"[redacted]"}"#
        );
    }

    #[test]
    fn what_a_client_chooses_has_a_limit() {
        assert_eq!(cut("/é"), "/é");
        let long = format!("/{}", "é".repeat(LONGEST));
        assert_eq!(cut(&long).len(), LONGEST - 1 + '…'.len_utf8());
    }
}
