//! Where everything is: all of 127.0.0.0/8 is this machine.

use std::net::{IpAddr, Ipv4Addr};

/// The address of a host, by its number.
pub(crate) fn host(number: usize) -> IpAddr {
    address(100, number)
}

/// The address of a replica, by its number among all of them.
pub(crate) fn replica(number: usize) -> IpAddr {
    address(110, number)
}

/// Which replica has an address.
pub(crate) fn number_of(address: IpAddr) -> Option<usize> {
    let IpAddr::V4(address) = address else { return None };
    let [_, _, high, low] = address.octets();
    Some(usize::from(high) * 250 + usize::from(low.checked_sub(1)?))
}

fn address(net: u8, number: usize) -> IpAddr {
    let part = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, net, part(number / 250), part(number % 250) + 1).into()
}
