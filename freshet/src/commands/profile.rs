//! `freshet profile`.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::form_urlencoded;

use crate::args::{Connection, Profile};
use crate::client::{Client, path_segment};
use crate::error::CommandError;
use crate::output;
use crate::query::text_of;

#[derive(Deserialize)]
struct Page {
    data: Vec<Found>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    id: String,
    attributes: BTreeMap<String, Box<RawValue>>,
}

/// Looks profiles up and shows them.
///
/// # Errors
/// There is no such index or profile, or the server doesn't answer or refuses.
pub(crate) async fn run(connection: &Connection, asked: &Profile) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    let index = index_id(&client, &asked.index).await?;
    let path = if let Some(id) = &asked.id {
        format!("/api/indexes/{index}/profiles/{}", path_segment(id))
    } else {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for filter in &asked.filters {
            let (field, value) = filter.split_once('=').ok_or_else(|| {
                CommandError::Input(format!("--filter {filter}: expected a field and a value, as city=Oslo"))
            })?;
            query.append_pair(&format!("filter[{field}]"), value);
        }
        query.append_pair("limit", &asked.limit.to_string());
        format!("/api/indexes/{index}/profiles?{}", query.finish())
    };
    if asked.output.json {
        let answer: Box<RawValue> = client.json(Method::GET, &path, None).await?;
        output::line(answer.get());
        return Ok(());
    }
    if asked.id.is_some() {
        let found: Found = client.json(Method::GET, &path, None).await?;
        let rows = found.attributes.iter().map(|(name, value)| vec![name.clone(), text_of(value)]);
        output::line(output::table(&["attribute", "value"], &[], rows));
        return Ok(());
    }
    let page: Page = client.json(Method::GET, &path, None).await?;
    let names: Vec<&str> =
        page.data.first().into_iter().flat_map(|first| first.attributes.keys()).map(String::as_str).collect();
    let rows = page.data.iter().map(|found| {
        let values =
            names.iter().map(|name| found.attributes.get(*name).map(|value| text_of(value)).unwrap_or_default());
        std::iter::once(found.id.clone()).chain(values).collect()
    });
    let header: Vec<&str> = std::iter::once("id").chain(names.iter().copied()).collect();
    output::line(output::table(&header, &[], rows));
    let more =
        if page.next_token.is_some() { format!("; there are more: --limit {}", asked.limit) } else { String::new() };
    output::note(format!("{} profiles{more}", output::thousands(page.data.len() as u64)));
    Ok(())
}

/// The id of an index, from its name or its id.
///
/// # Errors
/// The caller may read no such index, or the server doesn't answer or refuses.
pub(crate) async fn index_id(client: &Client, index: &str) -> Result<String, CommandError> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Index>,
    }
    #[derive(Deserialize)]
    struct Index {
        id: String,
        name: String,
    }
    let list: List = client.json(Method::GET, "/api/indexes", None).await?;
    let names: Vec<String> = list.data.iter().map(|known| known.name.clone()).collect();
    let found = list.data.into_iter().find(|known| known.name == index || known.id == index);
    found.map(|found| found.id).ok_or_else(|| {
        let hint = freshet_model::did_you_mean(index, names.iter().map(String::as_str));
        CommandError::Input(format!("there is no profile index {index}{hint}; see them with: freshet indexes list"))
    })
}
