//! `Forwarded` (RFC 7239), which the operator's own proxies may send: what they say is passed on, with what this one knows
//! after it. It is never started here: `X-Forwarded-*` says the same, and is what applications read.

use hyper::header::{FORWARDED, HeaderMap, HeaderValue};

/// What this proxy knows of a request's way to it.
pub(crate) struct Hop<'a> {
    /// The address that it came from.
    pub(crate) client: &'a str,
    /// The protocol that it came by: `http` or `https`.
    pub(crate) protocol: &'a str,
    /// The host that it asked for.
    pub(crate) host: &'a str,
}

/// Adds a hop to the field, where there is one. One that can't be read goes: whoever reads it would be free to take a part of
/// the new hop for a part of the old ones.
pub(crate) fn append(headers: &mut HeaderMap, hop: &Hop<'_>) {
    let mut known = headers.get_all(FORWARDED).iter().map(HeaderValue::as_bytes).peekable();
    if known.peek().is_none() {
        return;
    }
    let known = known.collect::<Vec<_>>().join(&b", "[..]);
    let hops = [known.as_slice(), hop.element().as_bytes()].join(&b", "[..]);
    match HeaderValue::from_maybe_shared(bytes::Bytes::from(hops)) {
        Ok(hops) if is_readable(&known) => headers.insert(FORWARDED, hops),
        _ => headers.remove(FORWARDED),
    };
}

impl Hop<'_> {
    /// As it stands in the field (section 4); an IPv6 address in brackets (section 6).
    fn element(&self) -> String {
        let is_v6 = self.client.contains(':');
        let client = if is_v6 { value(&format!("[{}]", self.client)) } else { value(self.client) };
        format!("for={client};proto={};host={}", value(self.protocol), value(self.host))
    }
}

/// A value as a token where it is one, and quoted where not (RFC 9110, 5.6.4).
fn value(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(is_token_byte) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether a field is a list of elements: pairs with `;` between them, and `,` between the elements.
fn is_readable(field: &[u8]) -> bool {
    let mut rest = field;
    loop {
        rest = rest.trim_ascii_start();
        // An element, and a pair in it, may be empty (RFC 9110, 5.6.1.2; RFC 7239, 4).
        if !rest.is_empty() && !matches!(rest.first(), Some(b';' | b',')) {
            let Some(after) = after_pair(rest) else { return false };
            rest = after.trim_ascii_start();
        }
        match rest.split_first() {
            None => return true,
            Some((b';' | b',', after)) => rest = after,
            Some(_) => return false,
        }
    }
}

/// What follows a pair of a name and a value.
fn after_pair(text: &[u8]) -> Option<&[u8]> {
    let value = after_token(text)?.strip_prefix(b"=")?;
    let Some(mut quoted) = value.strip_prefix(b"\"") else { return after_token(value) };
    loop {
        quoted = match quoted {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => rest,
            [] => return None,
        };
    }
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|&&byte| is_token_byte(byte)).count();
    if length > 0 { text.get(length..) } else { None }
}

/// The bytes of a token (RFC 9110, 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn appended(given: &[&str], hop: &Hop<'_>) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(FORWARDED, HeaderValue::from_str(value).unwrap());
        }
        append(&mut headers, hop);
        let fields: Vec<_> = headers.get_all(FORWARDED).iter().collect();
        assert!(fields.len() < 2);
        fields.first().map(|value| value.to_str().unwrap().to_owned())
    }

    const HOP: Hop<'_> = Hop { client: "192.0.2.7", protocol: "http", host: "a.example" };

    #[test]
    fn a_hop_comes_last_in_one_field() {
        let own = "for=192.0.2.7;proto=http;host=a.example";
        for (given, all) in [
            (&["for=198.51.100.1"][..], format!("for=198.51.100.1, {own}")),
            (
                &["for=\"_a,;\\\"b\" ; by=c", "For=\"[2001:db8::1]:80\""],
                format!("for=\"_a,;\\\"b\" ; by=c, For=\"[2001:db8::1]:80\", {own}"),
            ),
        ] {
            assert_eq!(appended(given, &HOP).unwrap(), all);
        }
        assert_eq!(appended(&[], &HOP), None);
    }

    #[test]
    fn what_is_no_token_is_quoted() {
        let hop = Hop { client: "2001:db8::1", protocol: "https", host: "a.example:8443" };
        assert_eq!(
            appended(&["for=a"], &hop).unwrap(),
            "for=a, for=\"[2001:db8::1]\";proto=https;host=\"a.example:8443\""
        );
        let hop = Hop { host: "a\"\\;for=b", ..hop };
        assert!(appended(&["for=a"], &hop).unwrap().ends_with("host=\"a\\\"\\\\;for=b\""));
        assert!(appended(&["for=a"], &Hop { host: "", ..hop }).unwrap().ends_with("host=\"\""));
    }

    #[test]
    fn what_cannot_be_read_goes() {
        for field in
            ["for=\"a", "for=\"a\\\"", "for", "for=", "=a", "for=a b=c", "for=[::1]", "for=a;;\"", "for = a"]
        {
            assert_eq!(appended(&[field], &HOP), None, "{field}");
        }
        // A quote that is opened in one field and closed in the next one.
        assert!(appended(&["for=\"a", "b\""], &HOP).is_some());
        for field in ["", ",", "for=a,,for=b;", ";for=a"] {
            assert!(appended(&[field], &HOP).is_some(), "{field}");
        }
    }
}
