//! The addresses that the replicas of a service have on its network.

use std::collections::HashSet;
use std::net::Ipv4Addr;

/// How many addresses a replica may try: another program can take one in the moment before.
const TRIES: usize = 3;

/// The subnet of a network, in CIDR notation (RFC 4632). Its lower half is for replicas, which keep their addresses when
/// they are started anew; from its upper half Docker gives addresses to whatever else is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressPool {
    first: u32,
    prefix: u32,
}

impl AddressPool {
    /// The pool of this subnet, `172.18.0.0/16`; none for one of IPv6, or one without room for a replica.
    pub(crate) fn of(subnet: &str) -> Option<Self> {
        let (first, prefix) = subnet.split_once('/')?;
        let (first, prefix) = (u32::from(first.parse::<Ipv4Addr>().ok()?), prefix.parse().ok()?);
        let pool = Self { first, prefix };
        ((1..=29).contains(&prefix) && first.is_multiple_of(pool.half() * 2)).then_some(pool)
    }

    /// The whole of it.
    pub(crate) fn subnet(&self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }

    /// The host's own address in it, as Docker would choose it.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// What Docker may give away itself.
    pub(crate) fn range_of_docker(&self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.first + self.half()), self.prefix + 1)
    }

    /// For each of so many replicas the addresses that it may try, in this order. The lowest free ones come first, and no
    /// two replicas get the same; they get fewer, or none, where the pool has no more.
    pub(crate) fn allot(&self, replicas: u32, taken: &HashSet<Ipv4Addr>) -> Vec<Vec<Ipv4Addr>> {
        let replicas = replicas as usize;
        let free: Vec<Ipv4Addr> = (self.first + 2..self.first + self.half())
            .map(Ipv4Addr::from)
            .filter(|address| !taken.contains(address))
            .take(replicas * TRIES)
            .collect();
        (0..replicas).map(|replica| free.iter().skip(replica).step_by(replicas).copied().collect()).collect()
    }

    fn half(&self) -> u32 {
        1 << (31 - self.prefix)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_halved() {
        let table = [
            ("172.18.0.0/16", "172.18.0.1", "172.18.128.0/17"),
            ("10.1.2.0/24", "10.1.2.1", "10.1.2.128/25"),
            ("192.168.16.0/20", "192.168.16.1", "192.168.24.0/21"),
            ("10.0.0.8/29", "10.0.0.9", "10.0.0.12/30"),
            ("128.0.0.0/1", "128.0.0.1", "192.0.0.0/2"),
        ];
        for (subnet, gateway, range) in table {
            let pool = AddressPool::of(subnet).unwrap();
            assert_eq!(pool.subnet(), subnet);
            assert_eq!(pool.gateway().to_string(), gateway);
            assert_eq!(pool.range_of_docker(), range);
        }
    }

    #[test]
    fn what_is_no_subnet_with_room_is_none() {
        let table = ["", "10.0.0.0", "10.0.0.0/30", "0.0.0.0/0", "10.0.0.1/24", "10.0.0.0/33", "fd00::/64"];
        for subnet in table {
            assert_eq!(AddressPool::of(subnet), None, "{subnet}");
        }
    }

    #[test]
    fn the_lowest_free_addresses_are_allotted_and_none_twice() {
        type Last = &'static [u8];
        let table: [(&str, Last, u32, &[Last]); 7] = [
            ("10.0.0.0/24", &[], 1, &[&[2, 3, 4]]),
            ("10.0.0.0/24", &[], 2, &[&[2, 4, 6], &[3, 5, 7]]),
            // The old replicas beside the new ones, and their place once they have gone.
            ("10.0.0.0/24", &[2, 3], 2, &[&[4, 6, 8], &[5, 7, 9]]),
            ("10.0.0.0/24", &[4, 5], 2, &[&[2, 6, 8], &[3, 7, 9]]),
            ("10.0.0.0/24", &[3, 200], 1, &[&[2, 4, 5]]),
            ("10.0.0.0/28", &[2, 3, 4], 2, &[&[5, 7], &[6]]),
            ("10.0.0.0/29", &[2], 3, &[&[3], &[], &[]]),
        ];
        for (subnet, taken, replicas, expected) in table {
            let address = |last: &u8| Ipv4Addr::new(10, 0, 0, *last);
            let taken = taken.iter().map(address).collect();
            let expected: Vec<Vec<Ipv4Addr>> =
                expected.iter().map(|replica| replica.iter().map(address).collect()).collect();
            assert_eq!(AddressPool::of(subnet).unwrap().allot(replicas, &taken), expected, "{subnet}");
        }
    }

    #[test]
    fn of_other_subnets_nothing_is_taken() {
        let elsewhere = [Ipv4Addr::new(10, 0, 1, 2)].into();
        let allotted = AddressPool::of("10.0.0.0/24").unwrap().allot(1, &elsewhere);
        assert_eq!(allotted[0][0], Ipv4Addr::new(10, 0, 0, 2));
    }
}
