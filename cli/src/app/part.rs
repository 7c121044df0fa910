//! Which parts of the platform run in a process.

use std::fmt;

/// A part that can be a process of its own in the kafka shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Shards and the HTTP routes for commands.
    CommandsApi,
    /// The projector without HTTP for queries.
    Projector,
    /// The process managers, submitting over HTTP.
    ProcessManagers,
    /// The HTTP routes for queries, over views of its own.
    QueryApi,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandsApi => "commands-api",
            Self::Projector => "projector",
            Self::ProcessManagers => "process-managers",
            Self::QueryApi => "query-api",
        })
    }
}

/// What one process runs.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    /// For people.
    pub(super) names: Vec<&'static str>,
    pub(super) commands: bool,
    pub(super) process_managers: bool,
    pub(super) queries: bool,
    /// The folder of the views, where a projector runs. A folder belongs to one process, so parts that may run beside
    /// each other on one machine have different ones.
    pub(super) views: Option<&'static str>,
    alone: bool,
}

impl Parts {
    pub(super) fn all() -> Self {
        Self {
            names: vec!["commands-api", "projector", "process-managers", "query-api"],
            commands: true,
            process_managers: true,
            queries: true,
            views: Some("views"),
            alone: true,
        }
    }

    pub(super) fn one(part: Part) -> Self {
        let none = Self {
            names: Vec::new(),
            commands: false,
            process_managers: false,
            queries: false,
            views: None,
            alone: false,
        };
        match part {
            Part::CommandsApi => Self { names: vec!["commands-api"], commands: true, ..none },
            Part::Projector => Self { names: vec!["projector"], views: Some("views"), ..none },
            Part::ProcessManagers => Self { names: vec!["process-managers"], process_managers: true, ..none },
            Part::QueryApi => Self {
                names: vec!["query-api", "projector"],
                queries: true,
                views: Some("query-views"),
                ..none
            },
        }
    }

    /// Whether missing Kafka topics are made on the way: for a process that is everything. Parts leave it to
    /// `millrace topics init`, so that a mistyped namespace is an error and not an empty shop.
    pub(super) fn makes_topics(&self) -> bool {
        self.alone
    }
}
