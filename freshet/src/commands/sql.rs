//! `freshet sql` and `freshet queries run`.

use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::args::{Connection, Output, Sql};
use crate::client::{Client, path_segment};
use crate::error::CommandError;
use crate::output;
use crate::query::Answer;

/// Runs one SELECT and prints its rows.
///
/// # Errors
/// The database can't be told, or the server refuses the query.
pub(crate) async fn run(connection: &Connection, sql: &Sql) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    let database = match &sql.database {
        Some(database) => database.clone(),
        None => only_database(&client).await?,
    };
    let body = json!({"database": database, "sql": sql.select, "limit": sql.limit});
    show(&client, "/query/v0/sql", &body, sql.limit, sql.output).await
}

/// Runs a saved query and prints its rows.
///
/// # Errors
/// A parameter has no value, or the server refuses the query.
pub(crate) async fn run_saved(
    connection: &Connection,
    name: &str,
    parameters: &[String],
    limit: u32,
    as_json: Output,
) -> Result<(), CommandError> {
    let mut values = Map::new();
    for parameter in parameters {
        let (name, value) = parameter.split_once('=').ok_or_else(|| {
            CommandError::Input(format!("--param {parameter}: expected a name and a value, as email=ada@example.com"))
        })?;
        values.insert(name.to_owned(), value.into());
    }
    let client = Client::connect(connection).await?;
    let body = json!({"parameters": values, "limit": limit});
    show(&client, &format!("/query/v0/queries/{}", path_segment(name)), &body, limit, as_json).await
}

async fn show(client: &Client, path: &str, body: &Value, limit: u32, as_json: Output) -> Result<(), CommandError> {
    if as_json.json {
        let answer: Box<RawValue> = client.json(Method::POST, path, Some(body)).await?;
        output::line(answer.get());
        return Ok(());
    }
    let answer: Answer = client.json(Method::POST, path, Some(body)).await?;
    let (header, numbers) = answer.header();
    output::line(output::table(&header, &numbers, answer.texts()));
    let more = if answer.truncated { format!("; there are more: --limit {limit}") } else { String::new() };
    output::note(format!("{} rows{more}", output::thousands(answer.rows.len() as u64)));
    Ok(())
}

async fn only_database(client: &Client) -> Result<String, CommandError> {
    let names: Vec<String> = client.resources("databases").await?.into_keys().collect();
    match names.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(CommandError::Input("there is no database; make one with: freshet apply FILE".to_owned())),
        several => Err(CommandError::Input(format!("say which with --database: {}", several.join(", ")))),
    }
}
