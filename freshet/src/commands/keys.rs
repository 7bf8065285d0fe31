//! `freshet keys` and `freshet tokens`.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{Connection, Keys, Output, Tokens};
use crate::client::Client;
use crate::error::CommandError;
use crate::output;

#[derive(Deserialize)]
struct NewSecret {
    client_id: String,
    client_secret: String,
}

/// Makes, shows, rotates or revokes API keys.
///
/// # Errors
/// The server doesn't answer or refuses.
pub(crate) async fn run(connection: &Connection, keys: &Keys) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    match keys {
        Keys::Create { name, scopes, streams, databases, indexes, output: as_json } => {
            let mut body = json!({"name": name, "scopes": scopes});
            for (field, names) in [("streams", streams), ("databases", databases), ("indexes", indexes)] {
                if let (false, Some(fields)) = (names.is_empty(), body.as_object_mut()) {
                    fields.insert(field.to_owned(), json!(names));
                }
            }
            let answer = client.json(Method::POST, "/admin/v0/api-keys", Some(&body)).await?;
            show_secret(&client, &answer, *as_json)
        }
        Keys::Rotate { name, output: as_json } => {
            let answer = client.json(Method::POST, &format!("/admin/v0/api-keys/{name}/rotate"), None).await?;
            show_secret(&client, &answer, *as_json)
        }
        Keys::List(as_json) => list(&client, *as_json).await,
        Keys::Revoke { name } => {
            client.done(Method::DELETE, &format!("/admin/v0/api-keys/{name}")).await?;
            output::note(format!("{name} is revoked; its tokens are refused everywhere within 60 s"));
            Ok(())
        }
    }
}

fn show_secret(client: &Client, answer: &Value, as_json: Output) -> Result<(), CommandError> {
    if as_json.json {
        output::json(answer);
        return Ok(());
    }
    let made = NewSecret::deserialize(answer)
        .map_err(|source| CommandError::Answer { url: client.url().to_string(), reason: source.to_string() })?;
    output::line(format!("client_id      {}\nclient_secret  {}", made.client_id, made.client_secret));
    output::note("the secret is shown this once; keep it where only its user can read it");
    Ok(())
}

async fn list(client: &Client, as_json: Output) -> Result<(), CommandError> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        name: String,
        client_id: String,
        definition: Definition,
        secret_created_at: Option<Timestamp>,
        previous_valid_until: Option<Timestamp>,
    }
    #[derive(Deserialize)]
    struct Definition {
        scopes: Vec<String>,
        streams: Option<Vec<String>>,
        databases: Option<Vec<String>>,
        indexes: Option<Vec<String>>,
    }
    let answer: Value = client.json(Method::GET, "/admin/v0/api-keys", None).await?;
    if as_json.json {
        output::json(&answer);
        return Ok(());
    }
    let keys = List::deserialize(&answer)
        .map_err(|source| CommandError::Answer { url: client.url().to_string(), reason: source.to_string() })?;
    let names = |names: Option<Vec<String>>| names.map_or_else(|| "all".to_owned(), |names| names.join(", "));
    let time = |time: Option<Timestamp>| time.map(|time| format!("{time:.0}")).unwrap_or_default();
    let rows = keys.data.into_iter().map(|key| {
        vec![
            key.name,
            key.client_id,
            key.definition.scopes.join(", "),
            names(key.definition.streams),
            names(key.definition.databases),
            names(key.definition.indexes),
            time(key.secret_created_at),
            time(key.previous_valid_until),
        ]
    });
    let header =
        ["name", "client_id", "scopes", "streams", "databases", "indexes", "secret made", "previous valid until"];
    output::line(output::table(&header, &[], rows));
    Ok(())
}

/// Issues a token.
///
/// # Errors
/// The duration can't be read, or the server doesn't answer or refuses.
pub(crate) async fn tokens(connection: &Connection, tokens: &Tokens) -> Result<(), CommandError> {
    let Tokens::Issue { key, expires_in, output: as_json } = tokens;
    let lifetime = duration(expires_in)?;
    let client = Client::connect(connection).await?;
    let expires_at = Timestamp::now()
        .checked_add(lifetime)
        .map_err(|_| CommandError::Input(format!("--expires-in {expires_in} is too long")))?;
    let body = json!({"expires-at": expires_at.to_string()});
    let answer: Value = client.json(Method::POST, &format!("/api/v0/admin/api-keys/{key}/tokens"), Some(&body)).await?;
    if as_json.json {
        output::json(&answer);
        return Ok(());
    }
    let token = answer.get("token").and_then(Value::as_str).ok_or_else(|| CommandError::Answer {
        url: client.url().to_string(),
        reason: "it answers no token".to_owned(),
    })?;
    output::line(token);
    output::note(format!("valid until {expires_at:.0}; shown this once"));
    Ok(())
}

fn duration(text: &str) -> Result<SignedDuration, CommandError> {
    freshet_platform::parse_duration(text)
        .and_then(|duration| SignedDuration::try_from(duration).ok())
        .ok_or_else(|| CommandError::Input(format!("--expires-in {text:?} is not a duration: write 15m, 12h or 30d")))
}
