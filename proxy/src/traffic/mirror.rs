use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use cutover_control::{ApplicationProtocol, MirrorStatus};
use hyper::body::{Body, Incoming};
use hyper::http::request;
use hyper::{Request, Response, StatusCode};
use tokio::time::timeout;

use crate::exchange::{Outgoing, RequestBody};
use crate::head;
use crate::routes::PathPrefix;
use crate::targets::{Lease, TargetSet};

/// Mirrored requests of a service that may be in flight at once.
const MOST: usize = 64;

/// Sends requests to a canary that nobody waits for, and counts what becomes of them.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    in_flight: AtomicUsize,
    answered: AtomicU64,
    server_errors: AtomicU64,
    failures: AtomicU64,
    left_out: AtomicU64,
}

/// One mirrored request. It is in flight on its target as any other, so that nobody takes that away meanwhile.
#[derive(Debug)]
pub(crate) struct Reflection {
    lease: Lease,
    place: Place,
}

/// One of the requests that may be in flight.
#[derive(Debug)]
struct Place(Arc<Mirror>);

impl Mirror {
    /// Room for one more, and a target for it, at the port of that number. What there is no room for is counted.
    pub(crate) fn admit(self: &Arc<Self>, set: &Arc<TargetSet>, port: Option<u16>) -> Option<Reflection> {
        let place = Place(Arc::clone(self));
        if self.in_flight.fetch_add(1, Relaxed) >= MOST {
            self.left_out.fetch_add(1, Relaxed);
            return None;
        }
        Some(Reflection { lease: set.lease(port, &[])?, place })
    }

    /// Each request is in one counter: none of what is shown can fall between two looks.
    pub(crate) fn status(&self) -> MirrorStatus {
        let (server_errors, failures) = (self.server_errors.load(Relaxed), self.failures.load(Relaxed));
        MirrorStatus {
            requests: self.answered.load(Relaxed) + server_errors + failures,
            server_errors,
            failures,
            left_out: self.left_out.load(Relaxed),
        }
    }

    /// Goes on from what another proxy has counted.
    pub(crate) fn resume(&self, before: &MirrorStatus) {
        let answered = before.requests.saturating_sub(before.server_errors + before.failures);
        self.answered.fetch_add(answered, Relaxed);
        self.server_errors.fetch_add(before.server_errors, Relaxed);
        self.failures.fetch_add(before.failures, Relaxed);
        self.left_out.fetch_add(before.left_out, Relaxed);
    }

    /// What has become of a request; none: it was not answered to the end, or not in time.
    fn count(&self, answered: Option<StatusCode>) {
        let counter = match answered {
            Some(response) if response.is_server_error() => &self.server_errors,
            Some(_) => &self.answered,
            None => &self.failures,
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Reflection {
    /// Sends the request as the application gets it, on a task of its own on this worker. As long as a response may take to begin,
    /// this one may take in all.
    pub(crate) fn send(self, request: &Outgoing, stripped: Option<&PathPrefix>, worker: usize) {
        let mut parts = request.parts().clone();
        if let Some(prefix) = stripped {
            head::strip_prefix(&mut parts, prefix);
        }
        tokio::spawn(async move {
            let Self { mut lease, place } = self;
            let limit = lease.set().limits.connect;
            if lease.take_slot(limit).await.is_err() {
                place.0.left_out.fetch_add(1, Relaxed);
                return;
            }
            let answered = tokio::select! {
                answered = timeout(lease.set().limits.response, ask(&lease, parts, worker)) => answered.unwrap_or_default(),
                () = lease.target().cut(lease.kind()).cancelled() => None,
            };
            place.0.count(answered);
        });
    }
}

/// The status of an answer that has come to its end.
async fn ask(lease: &Lease, parts: request::Parts, worker: usize) -> Option<StatusCode> {
    if lease.protocol() == ApplicationProtocol::H2c {
        return ask_http2(lease, parts, worker).await;
    }
    let mut connection = match lease.endpoint().pool().reuse(worker).await {
        Some(kept) => kept,
        None => lease.connect(worker, lease.set().limits.connect).await.ok()?,
    };
    let request = Request::from_parts(parts, RequestBody::Empty);
    let response: Response<Incoming> = connection.sender.send_request(request).await.ok()?;
    let status = read(response).await?;
    lease.keep(connection);
    Some(status)
}

async fn ask_http2(lease: &Lease, mut parts: request::Parts, worker: usize) -> Option<StatusCode> {
    head::forward_http2(&mut parts, lease.address()).ok()?;
    let mut stream = lease.endpoint().streams().stream(worker, lease.set().limits.connect).await.ok()?;
    let request = Request::from_parts(parts, RequestBody::Empty);
    read(stream.sender.send_request(request).await.ok()?).await
}

/// Reads an answer to its end.
async fn read(response: Response<Incoming>) -> Option<StatusCode> {
    let status = response.status();
    let mut body = response.into_body();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        frame.ok()?;
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_sent_is_answered_wrong_or_failed() {
        let mirror = Mirror::default();
        mirror.resume(&MirrorStatus { requests: 9, server_errors: 2, failures: 3, left_out: 1 });
        for answered in [Some(StatusCode::OK), Some(StatusCode::BAD_GATEWAY), None, None] {
            mirror.count(answered);
        }
        let wanted = MirrorStatus { requests: 13, server_errors: 3, failures: 5, left_out: 1 };
        assert_eq!(mirror.status(), wanted);
    }
}
