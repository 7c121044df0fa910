//! The ports of a broker.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::settings;
use crate::infra::ports;

/// The two ports of a broker that is a controller, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) broker: u16,
    pub(super) controller: u16,
}

impl Ports {
    /// So many pairs that are free at the moment.
    pub(super) fn free(pairs: usize) -> Result<Vec<Self>> {
        let ports = ports::free(2 * pairs)?;
        Ok(ports.chunks(2).map(|pair| Self { broker: pair[0], controller: pair[1] }).collect())
    }

    /// Kept data holds the controllers' addresses, so its ports are used again where they are free.
    pub(super) fn of_last_run(folder: &Path) -> Option<Self> {
        let properties = fs::read_to_string(folder.join("server.properties")).ok()?;
        let (broker, controller) = settings::ports(&properties)?;
        (ports::is_free(broker) && ports::is_free(controller)).then_some(Self { broker, controller })
    }
}
