//! `freshet databases run`, `freshet indexes refresh`, `freshet activations run` and `freshet runs`.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::{Connection, Runs, Started};
use crate::client::{Client, path_segment};
use crate::error::CommandError;
use crate::output::{self, plain, thousands};

/// Shortest and longest pause between two looks at a run.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A run, as the server answers it.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Run {
    id: String,
    kind: String,
    name: String,
    trigger: Value,
    state: String,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    attempts: u32,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
struct Step {
    name: String,
    state: String,
    counts: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Run>,
}

impl Run {
    fn is_ended(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed")
    }

    /// A count, over all steps.
    #[must_use]
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.steps.iter().filter_map(|step| step.counts.get(name)).sum()
    }

    /// What a run that has failed is an error as.
    fn verdict(&self) -> Result<(), CommandError> {
        if self.state != "failed" {
            return Ok(());
        }
        let steps = self.steps.iter().filter_map(|step| Some(format!("\n  {}: {}", step.name, step.message.as_ref()?)));
        let why: String = self.error.iter().map(|error| format!("\n  {error}")).chain(steps).collect();
        let verb = if self.kind == "indexes" { "refresh" } else { "run" };
        let (kind, name) = (&self.kind, &self.name);
        Err(CommandError::Failed(format!(
            "the run of {kind} {name} has failed:{why}\nonce that is mended: freshet {kind} {verb} {name}"
        )))
    }

    fn progress(&self) -> String {
        let done = self.steps.iter().filter(|step| step.ended_at.is_some()).count();
        match self.steps.iter().find(|step| step.ended_at.is_none()) {
            Some(step) => format!("{} {}: {} ({done} done)", self.kind, self.name, step.name),
            None => format!("{} {}: {} ({done} done)", self.kind, self.name, self.state),
        }
    }

    fn show(&self) {
        let rows = self.steps.iter().map(|step| {
            let counts = step.counts.iter().map(|(name, count)| format!("{name} {}", thousands(*count)));
            let took = step.ended_at.map(|ended| seconds(step.started_at, ended)).unwrap_or_default();
            vec![
                step.name.clone(),
                step.state.clone(),
                took,
                counts.collect::<Vec<_>>().join(", "),
                step.message.clone().unwrap_or_default(),
            ]
        });
        output::line(output::table(&["step", "state", "took", "counts", "why"], &[2], rows));
    }
}

fn seconds(from: Timestamp, until: Timestamp) -> String {
    format!("{:.1} s", until.duration_since(from).as_secs_f64())
}

/// Starts a run, and waits for its end unless that is not wanted.
///
/// # Errors
/// There is no such resource, the server doesn't answer or refuses, or the run fails.
pub(crate) async fn start(connection: &Connection, kind: &str, started: &Started) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    let Started { name, no_wait, output: as_json } = started;
    if *no_wait {
        let run = begin(&client, kind, name).await?;
        if as_json.json {
            output::json(&run);
        } else {
            output::line(&run.id);
            output::note(format!("how it goes: freshet runs show {}", run.id));
        }
        return Ok(());
    }
    let run = start_and_wait(&client, kind, name, as_json.json).await?;
    if as_json.json {
        output::json(&run);
    } else {
        run.show();
    }
    run.verdict()
}

async fn begin(client: &Client, kind: &str, name: &str) -> Result<Run, CommandError> {
    client.json(Method::POST, &format!("/admin/v0/{kind}/{}/runs", path_segment(name)), None).await
}

/// Starts a run and waits for its end. Progress goes to standard error, unless it is to be quiet.
///
/// # Errors
/// There is no such resource, or the server doesn't answer or refuses. A run that fails is no error.
pub(crate) async fn start_and_wait(client: &Client, kind: &str, name: &str, quiet: bool) -> Result<Run, CommandError> {
    let mut run = begin(client, kind, name).await?;
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let spinner = ProgressBar::with_draw_target(None, target);
    spinner.enable_steady_tick(PAUSES.0);
    let place = format!("/admin/v0/{kind}/{}/runs/{}", path_segment(name), run.id);
    let mut pause = PAUSES.0;
    while !run.is_ended() {
        spinner.set_message(run.progress());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => {
                spinner.finish_and_clear();
                return Err(CommandError::Failed(format!("the run goes on; how: freshet runs show {}", run.id)));
            }
        }
        pause = (pause * 3 / 2).min(PAUSES.1);
        run = client.json(Method::GET, &place, None).await?;
    }
    spinner.finish_and_clear();
    Ok(run)
}

/// Shows runs.
///
/// # Errors
/// There is no such resource or run, or the server doesn't answer or refuses.
pub(crate) async fn show(connection: &Connection, runs: &Runs) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    match runs {
        Runs::List { kind, name, limit, output: as_json } => {
            let path = match kind.as_deref().zip(name.as_deref()) {
                Some((kind, name)) => {
                    format!("/admin/v0/{}/{}/runs?limit={limit}", path_segment(kind), path_segment(name))
                }
                None => format!("/admin/v0/runs?limit={limit}"),
            };
            let list: List = client.json(Method::GET, &path, None).await?;
            if as_json.json {
                output::json(&serde_json::json!({ "data": list.data }));
                return Ok(());
            }
            let rows = list.data.iter().map(|run| {
                let took = run.started_at.zip(run.ended_at).map(|(from, until)| seconds(from, until));
                vec![
                    run.id.clone(),
                    run.kind.clone(),
                    run.name.clone(),
                    plain(run.trigger.get("type").unwrap_or(&Value::Null)),
                    run.state.clone(),
                    format!("{:.0}", run.created_at),
                    took.unwrap_or_default(),
                ]
            });
            output::line(output::table(&["id", "kind", "name", "trigger", "state", "asked at", "took"], &[6], rows));
        }
        Runs::Show { id, output: as_json } => {
            let list: List = client.json(Method::GET, "/admin/v0/runs?limit=100", None).await?;
            let run = list.data.into_iter().find(|run| run.id == *id).ok_or_else(|| {
                CommandError::Input(format!("{id} is not among the newest 100 runs; see freshet runs list"))
            })?;
            if as_json.json {
                output::json(&run);
                return Ok(());
            }
            output::line(run.progress());
            run.show();
            if let Some(error) = &run.error {
                output::line(error);
            }
        }
    }
    Ok(())
}
