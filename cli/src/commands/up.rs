//! `millrace up`: everything in one process, or the parts that it is told.

use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;

use crate::app::{App, Part, RunningApp};
use crate::args::UpArgs;
use crate::config::{Config, Flags};
use crate::import;
use crate::report::{FAILED, report};

/// Two weeks of a real shop; `cli/sample/README.md` has the attribution.
const SAMPLE: &[u8] = include_bytes!("../../sample/online-retail-two-weeks.csv.gz");

/// Serves everything until a signal.
pub(crate) async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let parts = args.parts.map(|parts| parts.into_iter().map(Part::from).collect());
    let flags = Flags { demo: args.demo.then_some(true), parts, ..args.platform.flags() };
    let config = Config::load(&flags, std::env::vars())?;
    if args.platform.dump_config {
        print!("{}", service_kit::dump_config(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    let app = App::start(config.clone()).await?;
    let mut served = pin!(app.run_until_signal());
    // Its first step is to listen for signals: whoever reads where it serves may send one at once.
    if let Poll::Ready(outcome) = futures::poll!(served.as_mut()) {
        return outcome.and_then(|()| stopped());
    }
    eprintln!("{}", banner(&config, &app));
    if config.demo {
        let url = app.url();
        let imported = tokio::select! {
            outcome = &mut served => return outcome.and_then(|()| stopped()),
            imported = demo(&url) => imported,
        };
        match imported {
            Ok(()) => eprintln!("{}", things_to_try(&url)),
            // The import fails because the process is stopping, not the other way round.
            Err(_) if app.stopping().is_requested() => {}
            Err(error) => {
                report(&error);
                // `served` has not seen a signal, so nothing has run the shutdown yet.
                app.stop_now().await?;
                return Ok(ExitCode::from(FAILED));
            }
        }
    }
    served.await?;
    stopped()
}

/// Imports the sample over HTTP, as any client would, and prints what it came to.
async fn demo(url: &str) -> anyhow::Result<()> {
    eprintln!(
        "  Demo: the orders, returns and credits of 1 to 14 December 2010 of a British gift shop\n  (\"Online Retail\", \
         Daqing Chen, UCI Machine Learning Repository, CC BY 4.0), sent over HTTP.\n"
    );
    let summary = import::replay_sample(url, SAMPLE).await?;
    eprintln!("{summary}");
    for remark in summary.remarks() {
        eprintln!("{remark}");
    }
    Ok(())
}

fn stopped() -> anyhow::Result<ExitCode> {
    eprintln!("  Stopped in order.");
    Ok(ExitCode::SUCCESS)
}

/// What is where.
fn banner(config: &Config, app: &RunningApp) -> String {
    let url = app.url();
    let shards = match app.host().map(|host| (host.serving_now(), host.partitions() as usize)) {
        Some((serving, total)) if serving < total => format!("{serving} of {total} shards so far"),
        Some((_, total)) => format!("{total} shards"),
        None => "no shards".to_owned(),
    };
    let data = config.data_dir.display();
    let log = if config.is_kafka() {
        format!("Kafka at {}, topics {}.* ({data} holds what can be rebuilt)", config.kafka, config.namespace)
    } else {
        format!("embedded, in {}", config.log_folder().display())
    };
    format!(
        "\n  Millrace {version} is up, {shards}.\n\n    API     {url}/v1\n    Docs    {url}/docs\n    Health  \
         {url}/health/ready\n    Log     {log}\n\n  Ctrl-C stops.\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// Lines to paste into another terminal.
fn things_to_try(url: &str) -> String {
    format!(
        "  Try it, in another terminal:\n\n    curl {url}/v1/reports/totals\n    curl {url}/v1/orders/536365\n    curl \
         {url}/v1/stock/85123A\n    curl {url}/v1/customers/17850\n    curl {url}/v1/streams/order/536365\n\n  Buy \
         something, then look at the order on its way to delivered:\n\n    curl -X POST {url}/v1/orders -H \
         'content-type: application/json' \\\n      -d \
         '{{\"id\":\"my-order\",\"country\":\"United Kingdom\",\"lines\":[{{\"sku\":\"{DEMO_SKU}\",\"quantity\":2}}]}}'\n    \
         curl {url}/v1/orders/my-order\n\n  All routes: {url}/docs\n  Serving until Ctrl-C.\n"
    )
}

/// Something that the sample leaves in stock.
const DEMO_SKU: &str = "22114";
