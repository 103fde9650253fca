use std::sync::Arc;

use cutover_control::ServiceKey;
use hyper::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};

use super::cookie::cookies;

/// Weights are in so many parts.
pub(crate) const WHOLE: u16 = 1_000;

/// The cookie that keeps a client on one side while there is a canary. Its value is a number that is drawn once: below the
/// weight the client belongs to the canary. So as the weight rises some move there, as many as it says, and none goes back.
///
/// It names the canary by a digest of its deployment and tells nothing else: with another canary the numbers are drawn anew, and
/// nobody is always the first. All hosts of a destination understand it.
#[derive(Debug)]
pub(crate) struct Sticky {
    name: String,
    /// What the value begins with.
    canary: String,
}

/// The cookie that a client gets with its answer.
#[derive(Debug)]
pub(crate) struct Stamp {
    sticky: Arc<Sticky>,
    number: u16,
    /// The client came over TLS.
    secure: bool,
}

impl Sticky {
    pub(crate) fn new(service: &ServiceKey, deployment: &str) -> Self {
        // By service, as several may be on one host.
        let name = format!("cutover_{:016x}", digest(&service.to_string()));
        Self { name, canary: format!("{:016x}-", digest(deployment)) }
    }

    /// The number that the client has for this canary.
    pub(crate) fn number(&self, headers: &HeaderMap) -> Option<u16> {
        let number = |value: &[u8]| {
            let number = std::str::from_utf8(value.strip_prefix(self.canary.as_bytes())?).ok()?;
            number.parse().ok().filter(|number| *number < WHOLE)
        };
        cookies(headers, &self.name).find_map(number)
    }

    pub(crate) fn stamp(self: &Arc<Self>, number: u16, secure: bool) -> Stamp {
        Stamp { sticky: Arc::clone(self), number, secure }
    }
}

impl Stamp {
    /// Adds the cookie to an answer, unless a cache that many share may store it: RFC 9111 (7.3) lets it store the cookie too, and
    /// all would get the same one. The client gets it with its next answer then. Where the application says nothing of
    /// that, the answer is made private.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        let caching = Caching::of(headers);
        if caching == Caching::Shared {
            return;
        }
        let Sticky { name, canary } = &*self.sticky;
        let secure = if self.secure { "; Secure" } else { "" };
        let cookie = format!("{name}={canary}{}; Path=/; HttpOnly; SameSite=Lax{secure}", self.number);
        if let Ok(cookie) = HeaderValue::from_maybe_shared(bytes::Bytes::from(cookie)) {
            headers.append(SET_COOKIE, cookie);
            if caching == Caching::Unsaid {
                headers.append(CACHE_CONTROL, HeaderValue::from_static("private"));
            }
        }
    }
}

/// Who may store an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caching {
    /// Nobody, or the client alone.
    Private,
    /// Whoever passes it on.
    Shared,
    /// The application doesn't say; a cache may guess (RFC 9111, 4.2.2).
    Unsaid,
}

impl Caching {
    fn of(headers: &HeaderMap) -> Self {
        let says = |wanted: &[&str]| {
            let fields = headers.get_all(CACHE_CONTROL).iter().filter_map(|field| field.to_str().ok());
            let mut directives = fields.flat_map(|field| field.split(','));
            directives
                .any(|directive| wanted.iter().any(|wanted| directive.trim().eq_ignore_ascii_case(wanted)))
        };
        let limits = |wanted: &[&str]| {
            let fields = headers.get_all(CACHE_CONTROL).iter().filter_map(|field| field.to_str().ok());
            let mut names = fields.flat_map(|field| field.split(',')).filter_map(|one| one.split('=').next());
            names.any(|name| wanted.iter().any(|wanted| name.trim().eq_ignore_ascii_case(wanted)))
        };
        // For some caches another field comes first (RFC 9213, 2.2).
        let targeted = |name: &HeaderName| {
            name.as_str().ends_with("-cache-control") || name.as_str() == "surrogate-control"
        };
        if headers.keys().any(targeted) {
            Self::Shared
        } else if says(&["private", "no-store"]) {
            Self::Private
        } else if limits(&["public", "max-age", "s-maxage", "private"]) || headers.contains_key(EXPIRES) {
            Self::Shared
        } else {
            Self::Unsaid
        }
    }
}

/// FNV-1a: the same in every version of every proxy, as the hash of the standard library is not.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hyper::header::COOKIE;

    use super::*;

    fn sticky(deployment: &str) -> Arc<Sticky> {
        Arc::new(Sticky::new(&ServiceKey::new("production", "app"), deployment))
    }

    fn put(stamp: &Stamp, fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        stamp.put(&mut headers);
        headers
    }

    #[test]
    fn a_number_comes_back_from_its_own_canary_alone() {
        let headers = put(&sticky("d2").stamp(417, true), &[]);
        let cookie = headers[SET_COOKIE].to_str().unwrap();
        assert!(cookie.ends_with("-417; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        assert!(!cookie.contains("app") && !cookie.contains("d2"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        let mut sent = HeaderMap::new();
        sent.insert(COOKIE, format!("a=b; {pair}").parse().unwrap());
        assert_eq!(sticky("d2").number(&sent), Some(417));
        assert_eq!(sticky("d3").number(&sent), None);
        for wrong in ["1000", "-1", "", "x", "4170000000"] {
            let mut sent = HeaderMap::new();
            sent.insert(COOKIE, pair.replace("417", wrong).parse().unwrap());
            assert_eq!(sticky("d2").number(&sent), None, "{wrong}");
        }
    }

    #[test]
    fn no_shared_cache_gets_to_store_a_cookie() {
        let stamp = sticky("d2").stamp(1, false);
        for shared in ["public", "max-age=60", "no-cache, S-MaxAge=1"] {
            assert!(!put(&stamp, &[("cache-control", shared)]).contains_key(SET_COOKIE), "{shared}");
        }
        assert!(!put(&stamp, &[("expires", "0")]).contains_key(SET_COOKIE));
        assert!(!put(&stamp, &[("cache-control", "private=\"x\"")]).contains_key(SET_COOKIE));
        for targeted in ["cdn-cache-control", "surrogate-control"] {
            let fields = [("cache-control", "private"), (targeted, "max-age=60")];
            assert!(!put(&stamp, &fields).contains_key(SET_COOKIE), "{targeted}");
        }
        for (given, after) in [
            (&["private, max-age=60"][..], &["private, max-age=60"][..]),
            (&["no-store"], &["no-store"]),
            (&["no-cache"], &["no-cache", "private"]),
            (&[], &["private"]),
        ] {
            let fields: Vec<_> = given.iter().map(|value| ("cache-control", *value)).collect();
            let headers = put(&stamp, &fields);
            assert!(headers.contains_key(SET_COOKIE), "{given:?}");
            assert_eq!(headers.get_all(CACHE_CONTROL).iter().collect::<Vec<_>>(), after);
        }
    }
}
