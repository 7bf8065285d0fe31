//! `freshet sql`.

use reqwest::Method;
use serde_json::json;
use serde_json::value::RawValue;

use crate::args::{Connection, Sql};
use crate::client::Client;
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
    if sql.output.json {
        let answer: Box<RawValue> = client.json(Method::POST, "/query/v0/sql", Some(&body)).await?;
        output::line(answer.get());
        return Ok(());
    }
    let answer = Answer::of(&client, &body).await?;
    let (header, numbers) = answer.header();
    output::line(output::table(&header, &numbers, answer.texts()));
    let more = if answer.truncated { format!("; there are more: --limit {}", sql.limit) } else { String::new() };
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
