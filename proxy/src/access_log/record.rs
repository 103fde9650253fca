use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

use super::line::{Aborted, Fields, Line, cut, protocol};
use super::{AccessLog, time};
use crate::clients::Client;
use crate::exchange::{Outgoing, Rejection, ResponseBody, Truncated, Upload};
use crate::targets::{Lease, Target, TargetSet};

/// What the access log says of a request. It gathers that while the request is carried, and is written when it is dropped,
/// which is when the response has ended, however that came about. Without an access log it is nothing.
#[derive(Debug, Default)]
pub(crate) struct Record(Option<Box<Entry>>);

#[derive(Debug)]
struct Entry {
    log: Arc<AccessLog>,
    at: SystemTime,
    began: Instant,
    client: Client,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
    request_id: String,
    trace_id: Option<String>,
    upload: Option<Arc<Upload>>,
    /// Where it was sent, last.
    target: Option<(Arc<TargetSet>, Arc<Target>)>,
    asked: u64,
    rejection: Option<String>,
    head: Option<Head>,
    moved: Arc<Moved>,
    end: End,
}

/// What is known once there is a response.
#[derive(Debug)]
struct Head {
    after_us: u64,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// How far a response has come.
#[derive(Debug)]
enum End {
    /// Not to its end.
    Open,
    Whole,
    Aborted(Aborted),
}

/// The bytes that have gone either way, without heads.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    pub(crate) from_client: AtomicU64,
    pub(crate) to_client: AtomicU64,
}

impl Record {
    /// Of a request that has just come; nothing where there is no log.
    pub(crate) fn begin<B>(log: Option<&Arc<AccessLog>>, client: &Client, request: &Request<B>) -> Self {
        Self(log.map(|log| Box::new(Entry::new(Arc::clone(log), client, request))))
    }

    /// The request is one of this proxy now, with its ids.
    pub(crate) fn forwards(&mut self, outgoing: &Outgoing) {
        if let Some(entry) = &mut self.0 {
            entry.request_id = outgoing.id().to_owned();
            entry.trace_id = outgoing.trace_id().map(str::to_owned);
            entry.upload = outgoing.upload();
        }
    }

    /// A replica is asked: the first one, or another.
    pub(crate) fn asks(&mut self, lease: &Lease) {
        if let Some(entry) = &mut self.0 {
            entry.target = Some(lease.whom());
            entry.asked += 1;
        }
    }

    /// The proxy answers itself.
    pub(crate) fn rejects(&mut self, rejection: &Rejection) {
        if let Some(entry) = &mut self.0 {
            entry.rejection = Some(rejection.to_string());
        }
    }

    /// There is a response; nothing more comes where it has no body.
    pub(crate) fn answers<B: Body>(&mut self, response: &Response<B>) {
        let Some(entry) = &mut self.0 else { return };
        let status = response.status();
        let headers = entry.named(response.headers());
        entry.head = Some(Head { after_us: micros(entry.began), status, headers });
        let bodiless = entry.method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless || response.body().is_end_stream() {
            entry.end = End::Whole;
        }
    }

    /// How many bytes of an upgraded connection have moved is noted here.
    pub(crate) fn moved(&self) -> Option<Arc<Moved>> {
        self.0.as_ref().map(|entry| Arc::clone(&entry.moved))
    }

    /// The response, or the upgraded connection, has come to its end.
    pub(crate) fn ends(&mut self) {
        self.end(End::Whole);
    }

    /// It has come to an end before its end.
    pub(crate) fn aborts(&mut self, why: Aborted) {
        self.end(End::Aborted(why));
    }

    fn end(&mut self, end: End) {
        if let Some(entry) = &mut self.0 {
            entry.end = end;
        }
    }
}

impl Entry {
    fn new<B>(log: Arc<AccessLog>, client: &Client, request: &Request<B>) -> Self {
        let authority = request.uri().authority().map(|authority| authority.as_str().rsplit('@').next());
        let host = match authority {
            Some(host) => HeaderValue::from_str(host.unwrap_or_default()).ok(),
            None => request.headers().get(HOST).cloned(),
        };
        let mut entry = Self {
            log,
            at: SystemTime::now(),
            began: Instant::now(),
            client: client.clone(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            host,
            version: request.version(),
            headers: Vec::new(),
            request_id: String::new(),
            trace_id: None,
            upload: None,
            target: None,
            asked: 0,
            rejection: None,
            head: None,
            moved: Arc::default(),
            end: End::Open,
        };
        entry.headers = entry.named(request.headers());
        entry
    }

    /// The fields that are logged by their values.
    fn named(&self, headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let values =
            |name| headers.get_all(name).iter().map(move |value| (HeaderName::clone(name), value.clone()));
        self.log.headers.iter().flat_map(values).collect()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (set, target) = self.target.as_ref().map(|(set, target)| (&**set, &**target)).unzip();
        let uploaded = self.upload.as_ref().map_or(0, |upload| upload.taken());
        let host = self.host.as_ref().map(|host| String::from_utf8_lossy(host.as_bytes()));
        self.log.write(&Line {
            time: time(self.at),
            client: self.client.address(),
            protocol: Some(protocol(self.version)),
            tls: self.client.tls(),
            method: Some(self.method.as_str()),
            host: host.as_deref().map(cut),
            path: Some(cut(self.uri.path())),
            query: self.uri.query().filter(|_| self.log.query).map(cut),
            status: self.head.as_ref().map(|head| head.status.as_u16()),
            request_bytes: uploaded + self.moved.from_client.load(Relaxed),
            response_bytes: self.moved.to_client.load(Relaxed),
            head_us: self.head.as_ref().map(|head| head.after_us),
            total_us: micros(self.began),
            destination: set.map(|set| set.service.destination.as_str()),
            service: set.map(|set| set.service.service.as_str()),
            deployment: set.map(|set| set.deployment.as_str()),
            release: set.map(|set| set.release.as_str()),
            replica: target.map(Target::replica),
            retries: self.asked.saturating_sub(1),
            request_id: Some(self.request_id.as_str()).filter(|id| !id.is_empty()),
            trace_id: self.trace_id.as_deref(),
            rejection: self.rejection.as_deref(),
            aborted: match &self.end {
                End::Open => Some(Aborted::ClientClosed),
                End::Whole => None,
                End::Aborted(why) => Some(*why),
            },
            headers: Fields(&self.headers),
            response_headers: Fields(self.head.as_ref().map_or(&[], |head| &head.headers)),
        });
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The body of a response, and the record that it ends.
#[derive(Debug)]
pub(crate) struct Recorded {
    body: ResponseBody,
    record: Record,
}

impl Recorded {
    pub(crate) fn new(body: ResponseBody, record: Record) -> Self {
        Self { body, record }
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = Truncated;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        let Self { body, record } = self.get_mut();
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if let Some(entry) = &mut record.0 {
            match &frame {
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                    entry.moved.to_client.fetch_add(length, Relaxed);
                    if body.is_end_stream() {
                        entry.end = End::Whole;
                    }
                }
                Some(Err(why)) => entry.end = End::Aborted(Aborted::of(why)),
                None => entry.end = End::Whole,
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
