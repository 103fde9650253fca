//! The PROXY protocol, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt): what a proxy in front of this one says of its
//! client at the very beginning of a connection. Only the address is read; what else may be said is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, with its end of line (2.1).
const MAX_V1: usize = 107;

/// The longest header that is read, in bytes. Version 2 could have 64 KiB; what proxies add to the addresses are tens of
/// bytes, or a certificate's name.
pub const MAX_HEADER: usize = 4096;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes of version 2 before its addresses: the signature, version and command, family, length.
const FIXED: usize = 16;

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it has.
    pub length: usize,
    /// Where the client connected from. None: the proxy connects for itself, or doesn't know.
    pub source: Option<SocketAddr>,
}

/// Why no header was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// What there is may be the beginning of one.
    NeedMore,
    /// It is none; what is wrong with it.
    Malformed(&'static str),
}

/// Reads the header that bytes begin with; what comes after it is not looked at.
///
/// # Errors
///
/// [`Unread::NeedMore`] only of fewer than [`MAX_HEADER`] bytes, which are then all of the header; [`Unread::Malformed`].
pub fn parse(bytes: &[u8]) -> Result<Header, Unread> {
    if bytes.starts_with(V2) {
        parse_v2(bytes)
    } else if bytes.starts_with(V1) {
        parse_v1(bytes)
    } else if V1.starts_with(bytes) || V2.starts_with(bytes) {
        Err(Unread::NeedMore)
    } else {
        Err(Unread::Malformed("it does not begin with a PROXY header"))
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Header, Unread> {
    let seen = bytes.get(..MAX_V1).unwrap_or(bytes);
    let Some(end) = seen.iter().position(|&byte| byte == b'\n') else {
        let whole = seen.len() == MAX_V1;
        return Err(if whole { Unread::Malformed("its line does not end") } else { Unread::NeedMore });
    };
    let malformed = Unread::Malformed("its line is none of version 1");
    let line = seen.get(V1.len()..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(malformed)?;
    let line = str::from_utf8(line).ok().filter(|line| !line.contains('\r')).ok_or(malformed)?;
    let length = end + 1;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(Header { length, source: None });
    }
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or(malformed);
    let address = |family: &str, text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => None,
        }
    };
    let (family, source, destination) = (next()?, next()?, next()?);
    let (source_port, destination_port) = (next()?, next()?);
    let ends = [(source, source_port), (destination, destination_port)]
        .map(|(text, at)| Some(SocketAddr::new(address(family, text)?, port(at)?)));
    match (ends, words.next()) {
        ([Some(source), Some(_)], None) => Ok(Header { length, source: Some(source) }),
        _ => Err(malformed),
    }
}

/// A port as version 1 writes it: digits, none of them a leading zero.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn parse_v2(bytes: &[u8]) -> Result<Header, Unread> {
    let Some(&[version_and_command, family, high, low]) = bytes.get(V2.len()..FIXED) else {
        return match bytes.get(V2.len()) {
            Some(first) if first >> 4 != 2 => Err(Unread::Malformed("its version is not 2")),
            _ => Err(Unread::NeedMore),
        };
    };
    let (version, command) = (version_and_command >> 4, version_and_command & 0xf);
    let after = usize::from(u16::from_be_bytes([high, low]));
    let length = FIXED + after;
    let addresses = match (version, command, family) {
        (2, 0, _) | (2, 1, 0x00) => 0,
        (2, 1, 0x11) => 12,
        (2, 1, 0x21) => 36,
        (2, 1, _) => return Err(Unread::Malformed("its client came by no TCP")),
        (2, ..) => return Err(Unread::Malformed("its command is unknown")),
        _ => return Err(Unread::Malformed("its version is not 2")),
    };
    if after < addresses {
        return Err(Unread::Malformed("it has no room for its addresses"));
    }
    if length > MAX_HEADER {
        return Err(Unread::Malformed("it is too long"));
    }
    let rest = bytes.get(FIXED..length).ok_or(Unread::NeedMore)?;
    Ok(Header { length, source: source_v2(rest, addresses) })
}

/// The source in the addresses of version 2 (2.2): both addresses, then both ports.
fn source_v2(rest: &[u8], addresses: usize) -> Option<SocketAddr> {
    let port = |at: usize| rest.get(at..)?.first_chunk().map(|port| u16::from_be_bytes(*port));
    match addresses {
        12 => Some(SocketAddr::new(rest.first_chunk::<4>().copied()?.into(), port(8)?)),
        36 => Some(SocketAddr::new(rest.first_chunk::<16>().copied()?.into(), port(32)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn v2(version_and_command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
        let fixed = [&[version_and_command, family][..], &length.to_be_bytes()].concat();
        [V2, &fixed, rest].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 80];

    fn is_malformed(bytes: &[u8]) -> bool {
        matches!(parse(bytes), Err(Unread::Malformed(_)))
    }

    #[test]
    fn the_source_is_read_and_what_follows_is_left() {
        let v6 =
            [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 16], &[0x30, 0x39, 0, 80]]
                .concat();
        let (at_v4, at_v6) = (Some("192.0.2.7:12345"), Some("[2001:db8::1]:12345"));
        for (header, source) in [
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 80\r\n".to_vec(), at_v4),
            (b"PROXY TCP6 2001:db8::1 ::1 12345 80\r\n".to_vec(), at_v6),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), None),
            (v2(0x21, 0x11, 12, V4), at_v4),
            (v2(0x21, 0x11, 15, &[V4, &[4, 0, 0]].concat()), at_v4),
            (v2(0x21, 0x21, 36, &v6), at_v6),
            (v2(0x21, 0x00, 0, &[]), None),
            (v2(0x20, 0x11, 12, V4), None),
            (v2(0x20, 0xff, 0, &[]), None),
        ] {
            let source = source.map(|address| address.parse().unwrap());
            let expected = Header { length: header.len(), source };
            assert_eq!(parse(&header), Ok(expected), "{header:?}");
            assert_eq!(parse(&[&header, &b"GET / HTTP/1.1\r\n"[..]].concat()), Ok(expected));
            for length in 0..header.len() {
                assert_eq!(parse(&header[..length]), Err(Unread::NeedMore), "{:?}", &header[..length]);
            }
        }
    }

    #[test]
    fn a_line_that_is_not_exactly_of_version_1_is_malformed() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 192.0.2.7 198.51.100.1 1 80\r\n",
            "PROXY  TCP4 192.0.2.7 198.51.100.1 1 80\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 80\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 80 \r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 80 9\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 01 80\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 80\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.07 198.51.100.1 1 80\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 80\r\n",
            "PROXY TCP6 192.0.2.7 198.51.100.1 1 80\r\n",
            "PROXY TCP5 192.0.2.7 198.51.100.1 1 80\r\n",
            "PROXY UDP4 192.0.2.7 198.51.100.1 1 80\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY UNKNOWN\r \r\n",
            "PROXY \r\n",
        ] {
            assert!(is_malformed(line.as_bytes()), "{line:?}");
        }
        let long = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16)).into_bytes();
        assert_eq!(parse(&long(MAX_V1)).unwrap().length, MAX_V1);
        assert!(is_malformed(&long(MAX_V1 + 1)));
        assert!(is_malformed(&b"PROXY UNKNOWN".iter().chain(&[b'x'; 200]).copied().collect::<Vec<_>>()));
    }

    #[test]
    fn a_header_that_is_not_of_version_2_is_malformed_as_soon_as_that_is_seen() {
        for header in [
            v2(0x11, 0x11, 12, V4),
            v2(0x31, 0x11, 12, V4),
            v2(0x22, 0x11, 12, V4),
            v2(0x21, 0x12, 12, V4),
            v2(0x21, 0x31, 216, &[0; 216]),
            v2(0x21, 0x11, 11, V4),
            v2(0x21, 0x21, 12, V4),
            v2(0x21, 0x11, u16::MAX, V4),
            v2(0x20, 0x00, 4096 - 15, &[]),
            [V2, &[0x11]].concat(),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
        ] {
            assert!(is_malformed(&header), "{header:?}");
        }
        let longest = v2(0x20, 0x00, 4096 - 16, &[0; 4096 - 16]);
        assert_eq!(parse(&longest).unwrap().length, MAX_HEADER);
    }
}
