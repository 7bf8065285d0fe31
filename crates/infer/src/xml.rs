//! Rows of XML documents, as the JSON that a table's paths go through.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use crate::InferError;

/// Deepest nesting that is read, as at ingest.
const MAX_DEPTH: usize = 100;
/// Where an element's own text stands beside its attributes.
const VALUE: &str = "_VALUE";

/// The element that makes a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowTag {
    pub(crate) name: String,
    /// Others that repeat, and could be it.
    others: Vec<String>,
}

impl RowTag {
    pub(crate) fn note(&self) -> Option<String> {
        (!self.others.is_empty()).then(|| format!("row_tag could also be {}", self.others.join(", ")))
    }
}

/// An element with what is in it.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

/// The rows of documents, each a JSON object, and the element that they are.
pub(crate) fn rows_of(documents: &[Bytes]) -> Result<(Vec<String>, RowTag), InferError> {
    let mut roots = Vec::new();
    for (number, document) in (1..).zip(documents) {
        roots.push(read(document).map_err(|reason| InferError::NotXml { number, reason })?);
    }
    let tag = row_tag(&roots);
    let mut rows = Vec::new();
    for root in &roots {
        collect(root, &tag.name, &mut rows);
    }
    Ok((rows, tag))
}

fn read(document: &[u8]) -> Result<Element, String> {
    let mut reader = Reader::from_reader(document);
    let mut open: Vec<Element> = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                if open.len() > MAX_DEPTH {
                    return Err(format!("elements are nested more than {MAX_DEPTH} levels deep"));
                }
                open.push(element(&start)?);
            }
            Event::Empty(start) => {
                let made = element(&start)?;
                if let Some(parent) = open.last_mut() {
                    parent.children.push(made);
                }
            }
            Event::End(_) => {
                let ended = open.pop().unwrap_or_default();
                let Some(parent) = open.last_mut() else { return Err("an element ends that did not begin".to_owned()) };
                parent.children.push(ended);
            }
            Event::Text(text) => {
                let text = text.decode().map_err(|error| error.to_string())?;
                if let Some(current) = open.last_mut() {
                    current.text.push_str(&text);
                }
            }
            Event::CData(text) => {
                let text = text.decode().map_err(|error| error.to_string())?;
                if let Some(current) = open.last_mut() {
                    current.text.push_str(&text);
                }
            }
            Event::GeneralRef(name) => {
                let text = name.decode().map_err(|error| error.to_string())?;
                let resolved = quick_xml::escape::unescape(&format!("&{text};")).map(Cow::into_owned);
                if let Some(current) = open.last_mut() {
                    current.text.push_str(&resolved.map_err(|error| error.to_string())?);
                }
            }
            Event::DocType(_) => return Err("a document type definition is not allowed".to_owned()),
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
    let mut document = open.pop().unwrap_or_default();
    match document.children.pop() {
        Some(root) if open.is_empty() => Ok(root),
        _ => Err("it is not one whole element".to_owned()),
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        if attribute.key.as_ref().starts_with(b"xmlns") {
            continue;
        }
        let key = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
        let value = attribute.unescape_value().map_err(|error| error.to_string())?.into_owned();
        attributes.push((key, value));
    }
    Ok(Element { name, attributes, ..Element::default() })
}

/// The element that repeats the most among those with something in them; the outermost of those that repeat alike. Where none
/// repeats, the root.
fn row_tag(roots: &[Element]) -> RowTag {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for root in roots {
        count(root, 0, &mut counts);
    }
    let root = roots.first().map(|root| root.name.as_str()).unwrap_or_default();
    let mut ranked: Vec<(&str, (usize, usize))> =
        counts.into_iter().filter(|(name, (seen, _))| *name != root && *seen > roots.len()).collect();
    ranked.sort_by_key(|(_, (seen, depth))| (*depth, std::cmp::Reverse(*seen)));
    let name = ranked.first().map_or(root, |(name, _)| name).to_owned();
    let others = ranked.iter().skip(1).map(|(name, _)| (*name).to_owned()).take(3).collect();
    RowTag { name, others }
}

/// How often each element with something in it comes, and how deep it lies at least.
fn count<'e>(element: &'e Element, depth: usize, counts: &mut BTreeMap<&'e str, (usize, usize)>) {
    if !element.children.is_empty() || element.attributes.len() > 1 {
        let (seen, least) = counts.entry(&element.name).or_insert((0, depth));
        *seen += 1;
        *least = (*least).min(depth);
    }
    for child in &element.children {
        count(child, depth + 1, counts);
    }
}

fn collect(element: &Element, tag: &str, rows: &mut Vec<String>) {
    if element.name == tag {
        if let Value::Object(fields) = object(element) {
            rows.push(Value::Object(fields).to_string());
        }
        return;
    }
    for child in &element.children {
        collect(child, tag, rows);
    }
}

/// An element with attributes and elements as an object.
fn object(element: &Element) -> Value {
    let mut fields: Map<String, Value> = Map::new();
    for (name, value) in &element.attributes {
        fields.insert(name.clone(), Value::String(value.clone()));
    }
    let mut names: Vec<&str> = Vec::new();
    for child in &element.children {
        if !names.contains(&child.name.as_str()) {
            names.push(&child.name);
        }
    }
    for name in names {
        let mut values: Vec<Value> = element.children.iter().filter(|child| child.name == name).map(value).collect();
        let value = if values.len() == 1 { values.pop().unwrap_or_default() } else { Value::Array(values) };
        fields.insert(name.to_owned(), value);
    }
    Value::Object(fields)
}

/// What stands at an element's name: its text where there is nothing in it but that.
fn value(element: &Element) -> Value {
    let text = element.text.trim();
    if element.children.is_empty() && element.attributes.is_empty() {
        return if text.is_empty() { Value::Null } else { Value::String(text.to_owned()) };
    }
    let mut value = object(element);
    if let (Value::Object(fields), false) = (&mut value, text.is_empty()) {
        fields.insert(VALUE.to_owned(), Value::String(text.to_owned()));
    }
    value
}
