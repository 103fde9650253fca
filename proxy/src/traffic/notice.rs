use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::halt::Maintenance;
use super::marker::Marker;
use crate::exchange::ResponseBody;

/// When a client is asked to come again where nobody knows when the service is back, in seconds.
const AGAIN_AFTER: u64 = 60;

/// What is answered in the place of a service that is away.
#[derive(Debug)]
pub(crate) struct Notice {
    page: Option<Bytes>,
    until: Option<SystemTime>,
    /// Those who may pass.
    testers: Option<Marker>,
    over: AtomicBool,
}

impl Notice {
    pub(crate) fn new(maintenance: &Maintenance) -> Self {
        Self {
            page: maintenance.page.clone().map(Bytes::from),
            until: maintenance
                .until
                .and_then(|millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))),
            testers: maintenance.choose.as_ref().and_then(|choice| Marker::new(choice).ok()),
            over: AtomicBool::new(false),
        }
    }

    /// How much longer, where that is known.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Nobody is turned away any more.
    pub(crate) fn end(&self) {
        self.over.store(true, Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub(crate) fn lets_pass(&self, headers: &HeaderMap) -> bool {
        self.is_over() || self.testers.as_ref().is_some_and(|testers| testers.marks(headers))
    }

    pub(crate) fn response(&self) -> Response<ResponseBody> {
        let (body, kind) = match &self.page {
            Some(page) => (ResponseBody::bytes(page.clone()), "text/html; charset=utf-8"),
            None => {
                let text = "503: the service is under maintenance\n".to_owned();
                (ResponseBody::text(text), "text/plain; charset=utf-8")
            }
        };
        let after = self.left().map_or(AGAIN_AFTER, |left| left.as_secs() + 1);
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(RETRY_AFTER, HeaderValue::from(after));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
