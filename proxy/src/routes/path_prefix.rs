use hyper::http::uri::PathAndQuery;

/// The beginning of a path, in whole segments: `/api` stands for `/api` and for all that begins with `/api/`, not for
/// `/apiary`. `/` stands for every path.
///
/// It is compared with the path as it was sent, byte by byte: nothing is decoded, no `//` is merged, no `..` is resolved.
/// What that means:
///
/// - `//api`, `/%61pi`, `/api%2Fx` and `/x/../api` don't begin with `/api`, although an application may read them so. They
///   go to the service that has all other paths of the host, and it may make of them what it makes of any path: whose
///   path it is was decided once, here, and no application is ever asked for what belongs to another one.
/// - `/api//x` begins with `/api`, and is `//x` without it: a path that a client can send to any application.
/// - `/api/../admin` begins with `/api`, and an application that resolves it would answer with what it has outside of its
///   prefix, where nothing was to be routed. So a path with a prefix is refused when it has `..` in any form that servers
///   are known to read so ([`climbs`](Self::climbs)). Clients resolve `..` before they send a path (RFC 3986, 5.2.4, and
///   the URL standard also `%2e%2e`), so nobody misses it.
#[derive(Debug)]
pub(crate) struct PathPrefix {
    /// Without a slash at its end; empty: every path.
    text: String,
}

impl PathPrefix {
    /// A prefix as [`normal`](Self::normal) gives it.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.trim_end_matches('/').to_owned() }
    }

    /// A prefix in the only form that it is stored in: without a slash at its end, unless it is nothing else. None: it is
    /// no path, or no path can begin so.
    pub(crate) fn normal(text: &str) -> Option<String> {
        if text == "/" {
            return Some(text.to_owned());
        }
        let segment =
            |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_path_byte);
        let path = text.strip_suffix('/').unwrap_or(text);
        path.strip_prefix('/')?.split('/').all(segment).then(|| path.to_owned())
    }

    /// Whether it stands for every path.
    pub(crate) fn is_root(&self) -> bool {
        self.text.is_empty()
    }

    /// In bytes; of two that stand for the same path the longer one is the more exact.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// The prefix as it stands in paths.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for a path, which has no query.
    pub(crate) fn takes(&self, path: &str) -> bool {
        path.strip_prefix(self.text.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || self.is_root()
    }

    /// A path that it stands for, without it; the query stays.
    pub(crate) fn strip(&self, path: &PathAndQuery) -> Option<PathAndQuery> {
        let rest = path.as_str().strip_prefix(self.text.as_str())?;
        if rest.starts_with('/') { rest.parse().ok() } else { format!("/{rest}").parse().ok() }
    }

    /// Whether a path that it stands for may lead out of it again: a segment can be read as `..`. All servers take `%2e` for
    /// `.`, some also `%2F`, `\` and `%5C` for `/`, and some leave out what comes after a `;`.
    pub(crate) fn climbs(&self, path: &str) -> bool {
        if self.is_root() || !(path.contains("..") || path.contains('%')) {
            return false;
        }
        let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
        path.split(['/', '\\']).any(|segment| segment.split(';').next() == Some(".."))
    }
}

/// The bytes of a segment (RFC 3986, 3.3).
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_prefix_stands_for_whole_segments() {
        let api = PathPrefix::new("/api");
        for path in ["/api", "/api/", "/api/x", "/api//x", "/api/../x"] {
            assert!(api.takes(path), "{path}");
        }
        for path in ["/", "/apiary", "/API", "//api", "/%61pi", "/api%2Fx", "/x/../api", "*", ""] {
            assert!(!api.takes(path), "{path}");
        }
        assert!(["/", "/api", "*"].iter().all(|path| PathPrefix::new("/").takes(path)));
    }

    #[test]
    fn what_is_stripped_leaves_a_path_and_its_query() {
        let api = PathPrefix::new("/api");
        for (path, rest) in [
            ("/api", "/"),
            ("/api?a=/api", "/?a=/api"),
            ("/api/", "/"),
            ("/api/api?", "/api?"),
            ("/api//x", "//x"),
            ("/api/%2Fx;y?z", "/%2Fx;y?z"),
        ] {
            assert_eq!(api.strip(&path.parse().unwrap()).unwrap().as_str(), rest, "{path}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_as_leading_out_of_the_prefix_is_seen() {
        let api = PathPrefix::new("/api");
        for path in [
            "/api/..",
            "/api/../admin",
            "/api/x/../y",
            "/api/%2e%2E/admin",
            "/api/.%2e/admin",
            "/api/..%2fadmin",
            "/api/..%5Cadmin",
            "/api/..\\admin",
            "/api/x%2f..%2f..%2fadmin",
            "/api/..;/admin",
            "/api/..;x=y",
        ] {
            assert!(api.climbs(path), "{path}");
        }
        for path in ["/api/a..b", "/api/...", "/api/..a/", "/api/.", "/api/%2e", "/api/x;..", "/api/%20.."] {
            assert!(!api.climbs(path), "{path}");
        }
        assert!(!PathPrefix::new("/").climbs("/../x"));
    }

    #[test]
    fn a_prefix_has_one_form() {
        for (text, normal) in [("/", "/"), ("/api", "/api"), ("/api/", "/api"), ("/a/b%20c", "/a/b%20c")] {
            assert_eq!(PathPrefix::normal(text).as_deref(), Some(normal));
        }
        for text in ["", "api", "//", "/a//b", "/a//", "/../a", "/a/.", "/a?b", "/a#b", "/a b", "/é"] {
            assert_eq!(PathPrefix::normal(text), None, "{text}");
        }
    }
}
