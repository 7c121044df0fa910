//! A broker for the length of a scope.

use std::path::PathBuf;

use anyhow::Result;

use super::{ADDRESS_VARIABLE, Options, down, folder, given_address, up};
use crate::workspace;

/// A broker for as long as this lives. One that the environment named, or that ran before, is not stopped.
#[derive(Debug)]
pub struct Broker {
    /// The bootstrap address.
    pub address: String,
    folder: Option<PathBuf>,
}

impl Broker {
    /// Starts a fresh instance of this name; one that an earlier run left behind is stopped first.
    pub fn start(name: &str) -> Result<Self> {
        let folder = folder(&workspace::target_dir(), name)?;
        let given = given_address().is_some();
        if !given {
            down(&folder)?;
        }
        let address = up(&Options { folder: folder.clone(), brokers: 1, keep: false })?;
        println!("kafka {address}{}", if given { format!(" ({})", ADDRESS_VARIABLE) } else { String::new() });
        Ok(Self { address, folder: (!given).then_some(folder) })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder
            && let Err(error) = down(folder)
        {
            eprintln!("error: the broker in {} was not stopped: {error:#}", folder.display());
        }
    }
}
