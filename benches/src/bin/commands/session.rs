//! What all rows share: the options, the servers beside us, and the report.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use benches::load::{Bounds, closed};

use super::Options;
use crate::database::Database;
use crate::platform::{Parts, Place, Platform, Shape};
use crate::receive::Receive;
use crate::report::{Report, Row, Run};
use crate::server::{Server, free_address};

/// One measurement from its start to its table.
pub(crate) struct Session {
    pub(crate) options: Options,
    pub(crate) place: Place,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) ceiling: Beside,
    pub(crate) peer: Option<Beside>,
    /// Of the peer; awake only while that is measured.
    pub(crate) database: Option<Database>,
    pub(crate) report: Report,
    /// Whether the broker's JVM has compiled what it runs.
    is_broker_warm: Cell<bool>,
}

/// A server that ours is held against.
pub(crate) struct Beside {
    pub(crate) server: Server,
    pub(crate) name: &'static str,
    /// All its runs of one-event receives, by connections.
    pub(crate) runs: BTreeMap<usize, Vec<Run>>,
}

impl Session {
    /// Starts the ceiling, and the peer where there is a database for it.
    pub(crate) fn start(options: Options) -> anyhow::Result<Self> {
        let place = Place::new(options.program.clone(), options.dir.clone())?;
        let ours = std::env::current_exe()?;
        let mut report = Report::default();
        let ceiling = beside(&place, "HTTP ceiling", |address| {
            let mut command = Command::new(&ours);
            command.args(["ceiling", address]);
            command
        })?;
        let peer = options.postgres.as_ref().map(|database| {
            let program = ours.with_file_name("peer_postgres");
            anyhow::ensure!(
                program.is_file(),
                "{} is missing: `cargo xtask bench commands` makes it",
                program.display()
            );
            let peer = beside(&place, "peer", |address| {
                let mut command = Command::new(&program);
                command.args([database, address]);
                command
            })?;
            Ok(peer)
        });
        let peer = peer.transpose()?;
        let database = options.postgres_pid.map(Database::new);
        if let Some(database) = &database {
            database.rest()?;
        }
        let mut shapes = vec![Shape::Embedded];
        shapes.extend(options.kafka.clone().map(Shape::Kafka));
        shapes.retain(|shape| {
            options.shapes.is_empty() || options.shapes.iter().any(|name| name == shape.name())
        });
        anyhow::ensure!(!shapes.is_empty(), "none of the shapes can be had here: kafka needs --kafka");
        conditions(&options, &place, &shapes, peer.as_ref(), &mut report)?;
        Ok(Self { options, place, shapes, ceiling, peer, database, report, is_broker_warm: Cell::new(false) })
    }

    /// Starts a platform with an empty log. The first one on a broker warms that up: a cold JVM is several times slower.
    pub(crate) fn platform(&self, shape: &Shape, parts: Parts) -> anyhow::Result<Platform> {
        if matches!(shape, Shape::Kafka(_)) && !self.is_broker_warm.replace(true) {
            let seconds = if self.options.quick { 3.0 } else { self.options.broker_warm_up_s };
            println!("\nwarming up the broker for {seconds} s");
            let platform = self.place.start(shape, Parts::Commands)?;
            let bounds = Bounds {
                warm_up: Duration::ZERO,
                measure: Duration::from_secs_f64(seconds),
                ..self.options.bounds()
            };
            let keys = self.options.keys();
            closed(platform.server.address(), 64, bounds, |index| Receive::new(keys.reseeded(index as u64)))?;
            platform.end()?;
        }
        self.place.start(shape, parts)
    }

    /// Ends the servers, prints the table and writes the file.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        for beside in [self.peer, Some(self.ceiling)].into_iter().flatten() {
            for (connections, runs) in beside.runs {
                let name = format!("receive, {}, {connections} connections", beside.name);
                self.report.rows.push(Row::of_runs(name, runs));
            }
        }
        println!("\n{}", self.report.table());
        if let Some(file) = &self.options.json {
            let json = serde_json::to_string_pretty(&self.report)?;
            std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

fn beside(
    place: &Place,
    name: &'static str,
    command: impl FnOnce(&str) -> Command,
) -> anyhow::Result<Beside> {
    let address = free_address()?;
    let log = place.folder.path().join(format!("{name}.log"));
    let (server, _) = Server::start(&mut command(&address.to_string()), address, &log)?;
    Ok(Beside { server, name, runs: BTreeMap::new() })
}

fn conditions(
    options: &Options,
    place: &Place,
    shapes: &[Shape],
    peer: Option<&Beside>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let version = Command::new(&place.program).arg("--version").output().context("cannot start millrace")?;
    report.condition(format!("machine: {}", benches::machine()));
    report.condition(format!(
        "program: {} ({}); folders in {}",
        String::from_utf8_lossy(&version.stdout).trim(),
        if cfg!(debug_assertions) { "DEBUG generator" } else { "release" },
        place.folder.path().display()
    ));
    match peer {
        Some(peer) => {
            report.condition(peer.server.log_text().trim().to_owned());
            report.condition(match options.postgres_pid {
                Some(_) => "the peer's database rests while others are measured",
                None => {
                    "the peer's database goes on while others are measured, for --postgres-pid was not given"
                }
            });
        }
        None => report.condition("peer: not measured, for --postgres URL was not given"),
    }
    if !shapes.iter().any(|shape| matches!(shape, Shape::Kafka(_))) {
        report.condition("kafka: not measured");
    }
    let bounds = options.bounds();
    report.condition(format!(
        "load: {} rounds of {} s after {} s of warm-up each, sides taking turns; seed {}; {} stock streams, {}; client, \
         servers and stores share the cores. × peer and % ceiling are medians of the rounds' ratios. Embedded: one fsync \
         per group commit; kafka: acks=all in committed transactions",
        options.rounds(),
        bounds.measure.as_secs_f64(),
        bounds.warm_up.as_secs_f64(),
        options.seed,
        options.streams,
        if options.zipf { "Zipf" } else { "uniform" },
    ));
    Ok(())
}
