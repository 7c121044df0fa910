//! Free ports on loopback.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

use anyhow::{Result, bail};

/// Below the ranges from which Linux and macOS take the ports of outgoing connections: while a server is away, no
/// client's connection may sit on the port that it comes back to.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
const ATTEMPTS: usize = 200;

/// So many ports that are free at the moment.
pub(super) fn free(count: usize) -> Result<Vec<u16>> {
    // All are held until all are known, or two could be the same.
    let mut held = Vec::new();
    for _ in 0..ATTEMPTS {
        if held.len() == count {
            break;
        }
        held.extend(TcpListener::bind(("127.0.0.1", random_port())).ok());
    }
    if held.len() < count {
        bail!("no free loopback ports from {FIRST} to {}", FIRST + COUNT);
    }
    held.iter().map(|held| Ok(held.local_addr()?.port())).collect()
}

/// Whether nobody listens on it.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// The standard library's only source of randomness.
fn random_port() -> u16 {
    let offset = RandomState::new().hash_one(()) % u64::from(COUNT);
    FIRST + u16::try_from(offset).expect("a remainder of a u16 is one")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_ports_differ_and_no_outgoing_connection_gets_one() {
        let ports = free(6).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 6);
        assert!(ports.iter().all(|port| (FIRST..32_768).contains(port)), "{ports:?}");
    }
}
