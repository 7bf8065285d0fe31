//! A set of resources in one document: the resource file, and the body of `apply`.

mod export;
mod positions;

use std::collections::BTreeMap;
use std::fmt;

use freshet_model::{Definition, Fields, Problems, ResourceKind, TenantId, read_object};
use serde::Serialize;
use serde_json::{Value, json};

use crate::change::MAX_RESOURCES;
use crate::resource::{Identity, check_name};

/// Largest resource file that is read, in bytes: what a body of the admin API may hold.
pub const MAX_FILE_BYTES: usize = 4_194_304;

/// A set of resources: `tenant = "acme"` and `[streams.x]`, `[databases.x]`, `[tables.x]`, `[queries.x]`,
/// `[indexes.x]`, `[activations.x]`, `[api-keys.x]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceFile {
    /// Whose resources these are; none: whoever applies them.
    pub tenant: Option<TenantId>,
    /// The resources by kind and name.
    pub resources: BTreeMap<(ResourceKind, String), Definition>,
}

/// One thing that is wrong with a resource file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileProblem {
    /// Where in the document: `tables.orders.columns[2].type`; empty for the document itself.
    #[serde(rename = "field")]
    pub path: String,
    /// What is wrong there, and what would be right.
    pub message: String,
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
}

/// Everything that is wrong with a resource file, by line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FileProblems(pub Vec<FileProblem>);

impl fmt::Display for FileProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, FileProblem { path, message, line, column }) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            let colon = if path.is_empty() { "" } else { ": " };
            write!(f, "{separator}line {line}, column {column}: {path}{colon}{message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FileProblems {}

impl ResourceFile {
    /// Reads a resource file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line and column. A file that is no TOML is refused for that alone.
    pub fn from_toml(text: &str) -> Result<Self, FileProblems> {
        if text.len() > MAX_FILE_BYTES {
            let message = format!("the file has {} bytes, and at most {MAX_FILE_BYTES} are read; split it", text.len());
            return Err(FileProblems(vec![FileProblem { path: String::new(), message, line: 1, column: 1 }]));
        }
        let document = positions::Document::parse(text)?;
        Self::from_json(&document.value).map_err(|problems| document.locate(problems))
    }

    /// Reads the same words as JSON.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_json(document: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut file = Self::default();
        if let Some(mut fields) = read_object("", document, &mut problems) {
            file.tenant = fields.optional("tenant");
            for kind in ResourceKind::ALL {
                file.read_kind(kind, &mut fields);
            }
            fields.finish();
        }
        problems.or(file)
    }

    /// The same words as JSON: what [`ResourceFile::from_json`] reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut kinds: BTreeMap<&str, BTreeMap<&str, &Definition>> = BTreeMap::new();
        for ((kind, name), definition) in &self.resources {
            kinds.entry(kind.as_str()).or_default().insert(name, definition);
        }
        let mut document = json!(kinds);
        if let (Some(tenant), Value::Object(fields)) = (&self.tenant, &mut document) {
            fields.insert("tenant".to_owned(), json!(tenant));
        }
        document
    }

    /// The file as text: what [`ResourceFile::from_toml`] reads.
    #[must_use]
    pub fn to_toml(&self) -> String {
        export::to_toml(self)
    }

    /// Adds what another file holds.
    ///
    /// # Errors
    /// Resources that are in both, and tenants that differ.
    pub fn merge(&mut self, other: Self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        if let (Some(mine), Some(theirs)) = (&self.tenant, &other.tenant)
            && mine != theirs
        {
            problems.add("tenant", format!("is {theirs} here and {mine} in another file"));
        }
        let mut names = self.names();
        for (kind, name) in other.resources.keys() {
            if let Some(first) = names.insert(Identity::new(*kind, name), name.clone()) {
                problems.add(format!("{kind}.{name}"), format!("is in another file too, as {kind}.{first}"));
            }
        }
        problems.or(())?;
        self.tenant = self.tenant.take().or(other.tenant);
        self.resources.extend(other.resources);
        Ok(())
    }

    fn read_kind(&mut self, kind: ResourceKind, fields: &mut Fields<'_>) {
        let Some(value) = fields.take(kind.as_str()) else { return };
        let problems = fields.problems();
        let Value::Object(resources) = value else {
            let example = format!("expected resources by name, as [{kind}.orders]");
            problems.add(kind.as_str(), example);
            return;
        };
        if resources.len() > MAX_RESOURCES {
            problems.add(
                kind.as_str(),
                format!("holds {} resources; a tenant has at most {MAX_RESOURCES}", resources.len()),
            );
            return;
        }
        let mut names = self.names();
        for (name, value) in &resources {
            let path = format!("{kind}.{name}");
            if let Err(refused) = check_name(kind, &path, name) {
                problems.0.extend(refused.0);
                continue;
            }
            if let Some(first) = names.insert(Identity::new(kind, name), name.clone()) {
                problems.add(&path, format!("{kind}.{first} is there too; names differ by more than case"));
            }
            match Definition::read(kind, &path, value) {
                Ok(definition) => {
                    self.resources.insert((kind, name.clone()), definition);
                }
                Err(refused) => {
                    for problem in refused.0 {
                        problems.add(problem.path, problem.message);
                    }
                }
            }
        }
    }

    fn names(&self) -> BTreeMap<Identity, String> {
        self.resources.keys().map(|(kind, name)| (Identity::new(*kind, name), name.clone())).collect()
    }
}
