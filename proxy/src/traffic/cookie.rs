use hyper::header::{COOKIE, HeaderMap};

/// The values of a request's cookies of a name, in their order (RFC 6265, 4.2).
pub(crate) fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Whether it can be a cookie's name or value and needs no quotes (RFC 6265, 4.1.1).
pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name_in_all_fields() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "xa=0; a=1;a=2; a ; b=a=3".parse().unwrap());
        headers.append(COOKIE, "a=4=5".parse().unwrap());
        assert_eq!(cookies(&headers, "a").collect::<Vec<_>>(), [&b"1"[..], b"2", b"4=5"]);
        assert_eq!(cookies(&headers, "b").collect::<Vec<_>>(), [b"a=3"]);
        assert_eq!(cookies(&headers, "c").next(), None);
    }
}
