//! The ten-month import: how long, how much memory afterwards, and how long a restart takes then.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;

use super::at_most;
use crate::platform::{Parts, Shape};
use crate::report::Row;
use crate::session::Session;

/// The environment variable with the path of the ten-month data file.
const FILE_VARIABLE: &str = "MILLRACE_RETAIL_FILE";

/// Both shapes, everything running: once each, for it takes minutes.
pub(crate) fn import(session: &mut Session) -> anyhow::Result<()> {
    let file = std::env::var_os(FILE_VARIABLE).map(PathBuf::from);
    let file = file.with_context(|| format!("--import needs the data file: {FILE_VARIABLE} is not set"))?;
    let file = std::path::absolute(file)?;
    for shape in session.shapes.clone() {
        let platform = session.platform(&shape, Parts::All)?;
        println!("\nimport, {}", shape.name());
        let begin = Instant::now();
        let output = Command::new(&session.place.program)
            .args(["import", "online-retail"])
            .arg(&file)
            .args(["--url", &format!("http://{}", platform.server.address())])
            .current_dir(session.place.folder.path())
            .stdin(Stdio::null())
            .output()?;
        let took_s = begin.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{said}");
        anyhow::ensure!(
            output.status.success(),
            "the import failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let resident_mb = platform.server.resident_bytes()? as f64 / 1e6;
        let (platform, unclean) = platform.restart()?;
        if let Some(error) = &unclean {
            session.report.condition(format!(
                "NOTE: after the import {} did not stop in order: {error:#}",
                shape.name()
            ));
        }
        let ready_s = platform.ready_after.as_secs_f64();
        let limit_s = match shape {
            Shape::Embedded => 60.0,
            Shape::Kafka(_) => 150.0,
        };
        for (what, figure, bound, unit) in [
            ("ten-month import", took_s, limit_s, " s"),
            ("memory after the import", resident_mb, 600.0, " MB"),
            ("start to ready after the import", ready_s, 3.0, " s"),
        ] {
            let row = Row::of_figure(
                format!("{what}, {}", shape.name()),
                format!("{figure:.1}{unit}"),
                at_most(figure, bound, unit),
            );
            println!("  {}: {}", row.name, row.figure);
            session.report.rows.push(row);
        }
        platform.end()?;
    }
    Ok(())
}
