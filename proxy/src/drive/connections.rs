use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The connections of the host's network to each address that it has any to: of whichever process, in `/proc/net/tcp`
/// and `/proc/net/tcp6`.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections(HashMap<SocketAddr, u64>);

impl Connections {
    /// Reads them as they are now.
    ///
    /// # Errors
    ///
    /// When the kernel doesn't say.
    pub(super) async fn read() -> io::Result<Self> {
        let mut connections = Self::default();
        connections.add(&tokio::fs::read_to_string("/proc/net/tcp").await?);
        match tokio::fs::read_to_string("/proc/net/tcp6").await {
            Ok(listing) => connections.add(&listing),
            // A host without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(connections)
    }

    /// Those to an address.
    pub(super) fn to(&self, address: SocketAddr) -> u64 {
        self.0.get(&address).copied().unwrap_or_default()
    }

    fn add(&mut self, listing: &str) {
        for address in listing.lines().skip(1).filter_map(connected) {
            *self.0.entry(address).or_default() += 1;
        }
    }
}

/// The other end of a connection on which an answer may still come (proc(5)): established, being made, or half closed by
/// the other end.
fn connected(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let (remote, state) = (fields.next()?, fields.next()?);
    matches!(state, "01" | "02" | "08").then(|| address(remote))?
}

/// `0100007F:1F90`: words of four bytes in the order of the machine, and the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(words.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match words.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            // Of a socket that speaks both, as Go's do.
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn both_families_are_read() {
        let of = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let four = format!("{}:1F90", of([127, 0, 0, 1]));
        assert_eq!(address(&four).unwrap(), "127.0.0.1:8080".parse().unwrap());
        let zero = of([0; 4]);
        let six = format!("{}{zero}{zero}{}:0050", of([0x20, 1, 0xd, 0xb8]), of([0, 0, 0, 1]));
        assert_eq!(address(&six).unwrap(), "[2001:db8::1]:80".parse().unwrap());
        let mapped = format!("{zero}{zero}{}{}:0050", of([0, 0, 0xff, 0xff]), of([10, 0, 0, 1]));
        assert_eq!(address(&mapped).unwrap(), "10.0.0.1:80".parse().unwrap());
        assert_eq!(address("0100007F"), None);
    }

    #[tokio::test]
    async fn a_connection_counts_until_it_is_closed_here() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(Connections::read().await.unwrap().to(address), 0);
        let client = TcpStream::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert_eq!(Connections::read().await.unwrap().to(address), 1);
        drop(accepted);
        assert_eq!(Connections::read().await.unwrap().to(address), 1);
        drop(client);
        assert_eq!(Connections::read().await.unwrap().to(address), 0);
    }
}
