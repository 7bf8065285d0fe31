//! `freshet demo`: real purchases through the whole of Freshet, checked to the cent.

mod batch;
mod customers;
mod figures;
mod visibility;

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use freshet_catalog::ResourceFile;
use freshet_decode::ContentEncoding;
use freshet_model::{PayloadFormat, TenantId};
use freshet_platform::Settings;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::figures::{DemoReport, EXPECTED};
use crate::args::Demo;
use crate::client::Client;
use crate::error::CommandError;
use crate::output;
use crate::sender::{Acknowledged, SendOptions, SendReport, send_records};
use crate::server::{self, Running};
use crate::source;

/// The purchases, as they are in the repository.
const PURCHASES: &[u8] = include_bytes!("../../../demo/cdnow.csv.gz");
/// The resources, as they are in the repository.
const RESOURCES: &str = include_str!("../../../demo/freshet.toml");
/// What shuffles the purchases, the same every time.
const SEED: u64 = 1997;
/// How long the tables may take to hold what was sent.
const PATIENCE: Duration = Duration::from_mins(2);
/// Largest the purchases can be, unzipped: 2.1 MB.
const MOST_CSV: usize = 16 << 20;
/// Where in the data directory the batch table lies: among the tenant's own external files.
const CUSTOMER360: &str = "files/external/demo/customer360";
/// Records a request.
const BATCH: usize = 1_000;
/// Requests at the same time.
const PARALLEL: usize = 4;

/// Runs the demo. Everything happens in a temporary directory, on a free port of the loopback address.
///
/// # Errors
/// Something failed, or a figure is not what it must be.
pub(crate) async fn run(arguments: &Demo) -> Result<(), CommandError> {
    let directory = tempfile::Builder::new()
        .prefix("freshet-demo-")
        .tempdir()
        .map_err(|source| CommandError::File { path: std::env::temp_dir(), source })?;
    let quiet = arguments.output.json;
    let stop = CancellationToken::new();
    let (running, client) = start(directory.path(), stop.clone()).await?;
    let report = drive(&client, &directory.path().join(CUSTOMER360), quiet).await;
    let result = match report {
        Ok(report) => {
            show(&report, quiet);
            if arguments.keep {
                stay(&running, directory.path()).await;
            }
            report.verdict()
        }
        Err(error) => Err(error),
    };
    stop.cancel();
    running.stopped().await;
    result
}

async fn start(data: &Path, stop: CancellationToken) -> Result<(Running, Client), CommandError> {
    let data_variable = ("FRESHET_DATA".to_owned(), data.display().to_string());
    let settings =
        Settings::from_environment([data_variable]).map_err(|wrong| CommandError::Failed(wrong.to_string()))?;
    let tenant = TenantId::parse("demo").map_err(|wrong| CommandError::Failed(wrong.to_string()))?;
    let running = server::start(&settings, ([127, 0, 0, 1], 0).into(), &tenant, stop).await?;
    let connection = crate::args::Connection { url: None, token: None, tenant: None, data: data.to_owned() };
    let client = Client::connect(&connection).await?;
    Ok((running, client))
}

/// Applies, sends, asks; sends again, asks again; joins to the batch table, and looks profiles up.
async fn drive(client: &Client, customer360: &Path, quiet: bool) -> Result<DemoReport, CommandError> {
    let stream_id = apply(client).await?;
    let purchases = shuffled()?;
    batch::write(customer360, &purchases)?;
    let options =
        SendOptions { stream_id, format: PayloadFormat::Json, batch: BATCH, parallel: PARALLEL, first_record: 0 };

    say(quiet, "Sending 69,659 real purchases of 23,570 customers in shuffled order, over HTTP …");
    let watching = CancellationToken::new();
    let watcher = tokio::spawn(visibility::watch(client.clone(), watching.clone()));
    let (sent, acknowledged) = send(client, purchases.clone(), &options, quiet).await?;
    wait_until_written(client, &acknowledged).await?;
    watching.cancel();
    let seen = watcher.await.map_err(|source| CommandError::Failed(source.to_string()))??;
    let visible = visibility::percentiles(&acknowledged, &seen);
    let tables = figures::tables(client).await?;
    let answers = figures::answers(client).await?;

    say(quiet, "Sending the whole file again: not one row count or sum may change …");
    let (sent_again, acknowledged_again) = send(client, purchases, &options, quiet).await?;
    wait_until_written(client, &acknowledged_again).await?;
    let tables_again = figures::tables(client).await?;

    say(quiet, "Joining purchases to the batch table of customers, and making an index of both …");
    let customers = customers::look(client).await?;
    Ok(DemoReport { sent, sent_again, tables, tables_again, answers, visible, customers })
}

async fn apply(client: &Client) -> Result<String, CommandError> {
    let resources = ResourceFile::from_toml(RESOURCES).map_err(|wrong| CommandError::Failed(wrong.to_string()))?;
    let _plan: Value = client.apply(&resources.to_json(), &[]).await?;
    client.stream_id("purchases").await
}

/// The purchases, each a JSON object, in an order that has nothing to do with when they happened.
fn shuffled() -> Result<Vec<Bytes>, CommandError> {
    let unzipped = freshet_decode::decompress(ContentEncoding::Gzip, &Bytes::from_static(PURCHASES), MOST_CSV)
        .map_err(|source| CommandError::Failed(format!("demo/cdnow.csv.gz: {source}")))?;
    let rows = source::csv_records(std::io::Cursor::new(unzipped), "demo/cdnow.csv.gz".to_owned())?;
    let mut purchases = rows.collect::<Result<Vec<Bytes>, CommandError>>()?;
    purchases.shuffle(&mut SmallRng::seed_from_u64(SEED));
    Ok(purchases)
}

async fn send(
    client: &Client,
    purchases: Vec<Bytes>,
    options: &SendOptions,
    quiet: bool,
) -> Result<(SendReport, Vec<Acknowledged>), CommandError> {
    let progress = output::progress(purchases.len() as u64, quiet);
    let records: source::Records = Box::new(purchases.into_iter().map(Ok));
    let mut acknowledged = Vec::new();
    let report = send_records(client, records, options, |batch| {
        progress.inc(batch.records);
        acknowledged.push(batch.clone());
    })
    .await?;
    progress.finish_and_clear();
    if report.refused > 0 {
        return Err(CommandError::Failed(format!("{} purchases were refused", report.refused)));
    }
    Ok((report, acknowledged))
}

/// Waits until both tables hold what a sending brought: every row that must come of it carries one of its request ids.
async fn wait_until_written(client: &Client, acknowledged: &[Acknowledged]) -> Result<(), CommandError> {
    let run = acknowledged.first().and_then(|batch| batch.request_id.rsplit_once('-')).map_or("", |(run, _)| run);
    let sql = "SELECT (SELECT count(*) FROM purchases WHERE starts_with(request_id, $1)) AS purchases, \
               (SELECT count(*) FROM latest_purchase WHERE starts_with(request_id, $1)) AS latest_purchase";
    let give_up = Instant::now() + PATIENCE;
    loop {
        let counts = figures::row(client, sql, &[run]).await?;
        let numbers: Vec<u64> = counts.iter().filter_map(|text| text.parse().ok()).collect();
        let wanted: Vec<u64> = EXPECTED.iter().map(|table| table.rows).collect();
        if numbers == wanted {
            return Ok(());
        }
        if Instant::now() >= give_up {
            return Err(CommandError::Failed(format!(
                "after {} s the tables hold {numbers:?} rows of this sending; they must hold {wanted:?}",
                PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn show(report: &DemoReport, quiet: bool) {
    if quiet {
        output::json(&report.figures());
    } else {
        output::line(report.text());
    }
}

fn say(quiet: bool, text: &str) {
    if !quiet {
        output::note(text);
    }
}

async fn stay(running: &Running, data: &Path) {
    output::note(format!(
        "\nFreshet stays up at {}; its data directory is {}. Stop it with Ctrl-C.",
        running.url(),
        data.display()
    ));
    server::interrupted().await;
}

/// An amount with two decimals, in cents.
fn cents(amount: &str) -> Result<i64, CommandError> {
    let digits: String = amount.chars().filter(|letter| *letter != '.').collect();
    let has_two_decimals = amount.split_once('.').is_some_and(|(_, decimals)| decimals.len() == 2);
    let cents = if has_two_decimals { digits.parse().ok() } else { None };
    cents.ok_or_else(|| CommandError::Failed(format!("{amount:?} is not an amount with two decimals")))
}
