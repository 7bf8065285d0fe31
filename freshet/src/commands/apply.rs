//! `freshet apply` and `freshet export`.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use freshet_catalog::ResourceFile;
use freshet_model::Problem;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{Apply, Connection, Output};
use crate::client::Client;
use crate::error::CommandError;
use crate::output;

/// Most bytes of one resource file.
const MOST_BYTES: u64 = 10 << 20;

/// What applying would do, as the server answers it.
#[derive(Debug, Deserialize)]
struct Plan {
    resources: Vec<PlanEntry>,
    #[serde(default)]
    problems: Vec<PlanProblem>,
}

#[derive(Debug, Deserialize)]
struct PlanEntry {
    kind: String,
    name: String,
    action: String,
    #[serde(default)]
    details: Vec<String>,
    #[serde(default)]
    problems: Vec<PlanProblem>,
}

#[derive(Debug, Deserialize)]
struct PlanProblem {
    field: String,
    message: String,
}

impl Plan {
    fn changes(&self) -> usize {
        self.resources.iter().filter(|entry| matches!(entry.action.as_str(), "create" | "change" | "delete")).count()
    }

    fn refusals(&self) -> Vec<&PlanProblem> {
        self.problems.iter().chain(self.resources.iter().flat_map(|entry| &entry.problems)).collect()
    }
}

/// Reads a TOML file, or every `.toml` file of a directory as one.
///
/// # Errors
/// A file can't be read, or something is wrong with it: everything that is, with file, line and column.
pub(crate) fn read_file(path: &Path) -> Result<ResourceFile, CommandError> {
    let mut all = ResourceFile::default();
    for path in files_of(path)? {
        let text = read_text(&path)?;
        let one = ResourceFile::from_toml(&text).map_err(|problems| {
            let lines = problems.0.iter().map(|problem| {
                let colon = if problem.path.is_empty() { "" } else { ": " };
                format!(
                    "{}:{}:{}: {}{colon}{}",
                    path.display(),
                    problem.line,
                    problem.column,
                    problem.path,
                    problem.message
                )
            });
            CommandError::Input(lines.collect::<Vec<_>>().join("\n"))
        })?;
        all.merge(one).map_err(|problems| {
            let lines = problems
                .0
                .iter()
                .map(|Problem { path: field, message }| format!("{}: {field}: {message}", path.display()));
            CommandError::Input(lines.collect::<Vec<_>>().join("\n"))
        })?;
    }
    Ok(all)
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, CommandError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|source| CommandError::File { path: path.to_owned(), source })?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(CommandError::Input(format!("{} holds no .toml file", path.display())));
    }
    Ok(files)
}

fn read_text(path: &Path) -> Result<String, CommandError> {
    let failed = |source| CommandError::File { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MOST_BYTES {
        return Err(CommandError::Input(format!("{}: larger than 10 MiB; split it", path.display())));
    }
    fs::read_to_string(path).map_err(failed)
}

/// Makes the resources be as a file says, in one call, and shows the plan.
///
/// # Errors
/// The server refuses; then nothing has changed.
pub(crate) async fn apply_all(client: &Client, file: &ResourceFile, prune: bool) -> Result<(), CommandError> {
    let answer: Value = client.apply(&file.to_json(), &parameters(false, prune)).await?;
    output::note(table_of(&plan_of(client, &answer)?));
    Ok(())
}

fn parameters(dry_run: bool, prune: bool) -> Vec<(&'static str, &'static str)> {
    let mut parameters = Vec::new();
    if dry_run {
        parameters.push(("dry_run", "true"));
    }
    if prune {
        parameters.push(("prune", "true"));
    }
    parameters
}

fn plan_of(client: &Client, answer: &Value) -> Result<Plan, CommandError> {
    Plan::deserialize(answer).map_err(|source| CommandError::Answer {
        url: client.url().to_string(),
        reason: format!("its plan can't be read: {source}"),
    })
}

/// Shows the plan, asks, applies.
///
/// # Errors
/// The file can't be read, or the server refuses it.
pub(crate) async fn run(connection: &Connection, arguments: &Apply) -> Result<ExitCode, CommandError> {
    let file = read_file(&arguments.file)?;
    let mut connection = connection.clone();
    if connection.tenant.is_none() {
        connection.tenant = file.tenant.as_ref().map(ToString::to_string);
    }
    let client = Client::connect(&connection).await?;
    let document = file.to_json();
    let answer = client.apply(&document, &parameters(true, arguments.prune)).await?;
    let plan = plan_of(&client, &answer)?;
    if arguments.output.json {
        output::json(&answer);
    } else {
        output::line(table_of(&plan));
    }
    let refusals = plan.refusals();
    if !refusals.is_empty() {
        let lines = refusals.iter().map(|problem| format!("{}: {}", problem.field, problem.message));
        return Err(CommandError::Failed(format!("nothing was applied:\n{}", lines.collect::<Vec<_>>().join("\n"))));
    }
    if plan.changes() == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.dry_run {
        return Ok(ExitCode::from(2));
    }
    if !arguments.yes && !confirmed(plan.changes())? {
        return Err(CommandError::Failed("nothing was applied".to_owned()));
    }
    client.apply(&document, &parameters(false, arguments.prune)).await?;
    output::note(format!("{} resources applied", plan.changes()));
    Ok(ExitCode::SUCCESS)
}

fn table_of(plan: &Plan) -> String {
    let rows = plan.resources.iter().map(|entry| {
        let details: Vec<String> =
            entry.details.iter().cloned().chain(entry.problems.iter().map(|problem| problem.message.clone())).collect();
        vec![entry.action.clone(), entry.kind.clone(), entry.name.clone(), details.join("\n")]
    });
    output::table(&["plan", "kind", "name", "what"], &[], rows)
}

fn confirmed(changes: usize) -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() {
        return Err(CommandError::Input(
            "there is no terminal to ask on: apply with --yes, or look at the plan with --dry-run".to_owned(),
        ));
    }
    let mut screen = io::stderr().lock();
    let asked = write!(screen, "Apply {changes} changes? [y/N] ").and_then(|()| screen.flush());
    let mut answer = String::new();
    asked
        .and_then(|()| io::stdin().lock().read_line(&mut answer))
        .map_err(|source| CommandError::Failed(format!("the answer can't be read: {source}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Prints the resources that are there as a file that can be applied.
///
/// # Errors
/// The server doesn't answer or refuses.
pub(crate) async fn export(connection: &Connection, as_json: Output) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    let mut document = serde_json::Map::new();
    if let Some(tenant) = &client.tenant {
        document.insert("tenant".to_owned(), Value::from(tenant.clone()));
    }
    for kind in freshet_model::ResourceKind::ALL {
        let resources = client.resources(kind.as_str()).await?;
        document.insert(kind.to_string(), resources.into_iter().collect());
    }
    let document = Value::from(document);
    if as_json.json {
        output::json(&document);
        return Ok(());
    }
    let file = ResourceFile::from_json(&document)
        .map_err(|problems| CommandError::Answer { url: client.url().to_string(), reason: problems.to_string() })?;
    output::line(file.to_toml().trim_end());
    Ok(())
}
