//! What came: headers and a body, nothing of which is known to be true yet.

use hyper::HeaderMap;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// A delivery.
pub(crate) struct Delivery<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Delivery<'_> {
    /// A header that is there once, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }

    /// The body as what a source sends.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(self.body).map_err(|error| Refusal::Body(error.to_string()))
    }
}
