//! Logs and spans, on stderr: stdout belongs to the results of commands.

use std::io::IsTerminal;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::Error;

/// The variable with the filter, as of [`EnvFilter`]: `info`, `debug`, `info,event_log=trace`.
pub const LOG_VARIABLE: &str = "MILLRACE_LOG";
/// The variable with the format: `text` or `json`.
pub const LOG_FORMAT_VARIABLE: &str = "MILLRACE_LOG_FORMAT";

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(Error::LogFormat(other.to_owned())),
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// Directives as of [`EnvFilter`].
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

impl LogOptions {
    /// The defaults, with what [`LOG_VARIABLE`] and [`LOG_FORMAT_VARIABLE`] say.
    ///
    /// # Errors
    /// [`Error::LogFormat`].
    pub fn from_environment() -> Result<Self, Error> {
        let given = |variable| std::env::var(variable).ok().filter(|text| !text.is_empty());
        Ok(Self {
            filter: given(LOG_VARIABLE).unwrap_or_else(|| Self::default().filter),
            format: given(LOG_FORMAT_VARIABLE).map_or(Ok(LogFormat::Text), |text| text.parse())?,
        })
    }

    /// Installs the subscriber. Where one is installed already (tests that start several apps) that one stays.
    ///
    /// # Errors
    /// [`Error::LogFilter`].
    pub fn install(&self) -> Result<(), Error> {
        let filter = self.env_filter()?;
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        let installed = match self.format {
            LogFormat::Text => subscriber.finish().try_init(),
            LogFormat::Json => subscriber.json().flatten_event(true).finish().try_init(),
        };
        if installed.is_err() {
            tracing::debug!("telemetry is installed already");
        }
        Ok(())
    }

    fn env_filter(&self) -> Result<EnvFilter, Error> {
        EnvFilter::try_new(&self.filter)
            .map_err(|error| Error::LogFilter { filter: self.filter.clone(), message: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_can_be_installed_twice() {
        LogOptions::default().install().unwrap();
        LogOptions { format: LogFormat::Json, ..LogOptions::default() }.install().unwrap();
    }

    #[test]
    fn a_bad_filter_or_format_is_named() {
        let error =
            LogOptions { filter: "event_log=loud".into(), ..LogOptions::default() }.install().unwrap_err();
        assert!(error.to_string().starts_with("the log filter \"event_log=loud\" is invalid"), "{error}");
        assert!(matches!("xml".parse::<LogFormat>(), Err(Error::LogFormat(given)) if given == "xml"));
    }
}
