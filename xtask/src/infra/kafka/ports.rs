//! The ports of a broker.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Result, bail};

use super::settings;

/// Below the ranges from which Linux and macOS take the ports of outgoing connections: while a broker is away, no
/// client's connection may sit on the port that it comes back to.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
const ATTEMPTS: usize = 200;

/// The two ports of a broker that is a controller, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) broker: u16,
    pub(super) controller: u16,
}

impl Ports {
    /// So many pairs that are free at the moment.
    pub(super) fn free(pairs: usize) -> Result<Vec<Self>> {
        // All are held until all are known, or two could be the same.
        let mut held = Vec::new();
        for _ in 0..ATTEMPTS {
            if held.len() == 2 * pairs {
                break;
            }
            held.extend(TcpListener::bind(("127.0.0.1", random_port())).ok());
        }
        let ports = held.iter().map(|held| Ok(held.local_addr()?.port())).collect::<Result<Vec<_>>>()?;
        if ports.len() < 2 * pairs {
            bail!("no free loopback ports from {FIRST} to {}", FIRST + COUNT);
        }
        Ok(ports.chunks(2).map(|pair| Self { broker: pair[0], controller: pair[1] }).collect())
    }

    /// Kept data holds the controllers' addresses, so its ports are used again where they are free.
    pub(super) fn of_last_run(folder: &Path) -> Option<Self> {
        let properties = fs::read_to_string(folder.join("server.properties")).ok()?;
        let (broker, controller) = settings::ports(&properties)?;
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        (free(broker) && free(controller)).then_some(Self { broker, controller })
    }
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
        let ports = Ports::free(3).unwrap();
        let all: BTreeSet<u16> = ports.iter().flat_map(|ports| [ports.broker, ports.controller]).collect();
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|port| (FIRST..32_768).contains(port)), "{all:?}");
    }
}
