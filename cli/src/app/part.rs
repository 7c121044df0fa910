//! Which parts of the platform run in a process.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of the platform. `up` runs all of them or those that it is told; in the kafka shape each can be a process of
/// its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Shards and the HTTP routes for commands.
    CommandsApi,
    /// The projector without HTTP for queries.
    Projector,
    /// The process managers, submitting over HTTP.
    ProcessManagers,
    /// The HTTP routes for queries: over views of its own, or over those on a CQL server that a projector fills.
    QueryApi,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::CommandsApi, Self::Projector, Self::ProcessManagers, Self::QueryApi];
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
    /// The views, where they are filled or read.
    pub(super) views: Option<ViewsPart>,
    alone: bool,
}

/// The views of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ViewsPart {
    /// Their folder, unless they are on a CQL server. A folder belongs to one process, so parts that may run beside each
    /// other on one machine have different ones.
    pub(super) folder: &'static str,
    /// Whether this process is one that fills them, wherever they are. Those in a folder nobody else can fill.
    pub(super) projects: bool,
}

impl Parts {
    /// The named parts in one process that has the data folder for itself. Queries bring the projector with them where the
    /// views are of this process.
    pub(super) fn of(parts: &[Part], has_cql: bool) -> Self {
        let has = |part| parts.contains(&part);
        let has_views = has(Part::Projector) || has(Part::QueryApi);
        let projects = has(Part::Projector) || (has_views && !has_cql);
        let names = [
            ("commands-api", has(Part::CommandsApi)),
            ("projector", projects),
            ("process-managers", has(Part::ProcessManagers)),
            ("query-api", has(Part::QueryApi)),
        ];
        Self {
            names: names.iter().filter(|(_, runs)| *runs).map(|(name, _)| *name).collect(),
            commands: has(Part::CommandsApi),
            process_managers: has(Part::ProcessManagers),
            queries: has(Part::QueryApi),
            views: has_views.then_some(ViewsPart { folder: "views", projects }),
            alone: true,
        }
    }

    pub(super) fn one(part: Part, has_cql: bool) -> Self {
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
            Part::Projector => Self {
                names: vec!["projector"],
                views: Some(ViewsPart { folder: "views", projects: true }),
                ..none
            },
            Part::ProcessManagers => Self { names: vec!["process-managers"], process_managers: true, ..none },
            Part::QueryApi => Self {
                names: if has_cql { vec!["query-api"] } else { vec!["query-api", "projector"] },
                queries: true,
                views: Some(ViewsPart { folder: "query-views", projects: !has_cql }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_runs_the_named_parts_and_what_they_need() {
        let all = Parts::of(&Part::ALL, false);
        assert_eq!(all.names, Part::ALL.map(|part| part.to_string()));
        assert!(all.commands && all.process_managers && all.queries && all.views.is_some());
        let commands = Parts::of(&[Part::CommandsApi], false);
        assert_eq!((commands.names, commands.views), (vec!["commands-api"], None));
        assert!(commands.commands && !commands.process_managers && !commands.queries);
        // Later with all parts, the folder is the same.
        let queries = Parts::of(&[Part::QueryApi], false);
        assert_eq!((queries.names, queries.views), (vec!["projector", "query-api"], all.views));
        // On a CQL server somebody else may fill them.
        let queries = Parts::of(&[Part::QueryApi], true);
        assert_eq!((queries.names, queries.views.unwrap().projects), (vec!["query-api"], false));
        assert!(Parts::of(&Part::ALL, true).views.unwrap().projects);
        assert!(!Parts::one(Part::QueryApi, true).views.unwrap().projects);
        assert!(Parts::one(Part::QueryApi, false).views.unwrap().projects);
    }
}
