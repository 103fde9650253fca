use std::mem::MaybeUninit;
use std::ops::Range;

use tokio::time::Instant;

use super::request_head::{Arrived, MAX_FIELDS, RequestHead};
use crate::client::Client;
use crate::exchange::Exchange;
use crate::lease::Lease;
use crate::rejection::Rejection;
use crate::tls::Challenges;

/// A request on its way to an application that was chosen for it.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) lease: Lease,
    /// The head that the application is sent.
    pub(crate) forwarded: Vec<u8>,
    id: Range<usize>,
    /// Bytes that the client has sent for it.
    pub(crate) length: usize,
    /// The answer has no body.
    pub(crate) head_only: bool,
    /// The client wants its connection closed after the answer.
    pub(crate) close: bool,
    pub(crate) began: Instant,
}

/// What a client wants next.
#[derive(Debug)]
pub(crate) enum Next {
    Errand(Errand),
    /// Something that the complete way is for.
    Other,
    /// What nobody may carry.
    Refused(Rejection),
    /// Nothing any more.
    Nothing,
}

impl Errand {
    /// Reads what a client has sent, and chooses the application; none: more of it has to come.
    pub(crate) fn read(bytes: &[u8], client: &Client, exchange: &Exchange) -> Option<Next> {
        let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let head = match RequestHead::read(bytes, &mut room, client) {
            Arrived::Partial => return None,
            Arrived::Other => return Some(Next::Other),
            Arrived::Ambiguous(why) => return Some(Next::Refused(Rejection::Malformed(why))),
            Arrived::Simple(head) => head,
        };
        if !client.may_ask_for(head.host) || Challenges::is_path(head.path()) {
            return Some(Next::Other);
        }
        let lease = match exchange.plain_lease(head.host, head.path()) {
            // Whoever wants to know all about each request gets it from the complete way.
            Some(lease) if lease.set().limits.short_way && exchange.log().is_none() => lease,
            _ => return Some(Next::Other),
        };
        if lease.set().tls.as_ref().is_some_and(|tls| tls.concerns(client)) {
            return Some(Next::Other);
        }
        let (forwarded, id) = head.forward(client, exchange.ids());
        let (length, head_only, close) = (head.length, head.is_head(), head.close);
        Some(Next::Errand(Self { lease, forwarded, id, length, head_only, close, began: Instant::now() }))
    }

    /// Until when the application may take to begin its answer.
    pub(crate) fn limit(&self) -> Instant {
        self.began + self.lease.set().limits.response
    }

    /// The id that it carries.
    pub(crate) fn id(&self) -> &str {
        let id = self.forwarded.get(self.id.clone()).unwrap_or_default();
        std::str::from_utf8(id).unwrap_or_default()
    }
}
