//! Who asks, and which index.

use std::sync::Arc;

use axum::http::HeaderMap;
use freshet_access::Principal;
use freshet_catalog::{Index, TenantCatalog};
use freshet_http::{Problem, TenantHeader, authorize};
use freshet_model::{IndexId, Scope, did_you_mean};
use freshet_profile::IndexRef;
use tracing::Span;

use crate::{API_VERSION, ProfileContext, error};

/// The header that names the version of the API.
const VERSION_HEADER: &str = "api-version";

/// Who asks.
pub(crate) struct Asker {
    pub(crate) principal: Principal,
    pub(crate) catalog: Arc<TenantCatalog>,
}

impl Asker {
    /// Checks version, token and tenant.
    pub(crate) async fn of(context: &ProfileContext, headers: &HeaderMap) -> Result<Self, Problem> {
        check_version(headers)?;
        let now = context.clock.now();
        let principal = authorize(headers, &context.access, now, Scope::ProfilesRead, TenantHeader::Optional).await?;
        let catalog = context.catalog.snapshot(&principal.tenant).await.map_err(|error| error::of_catalog(&error))?;
        Ok(Self { principal, catalog })
    }

    /// The indexes that it may read, by name.
    pub(crate) fn granted(&self) -> impl Iterator<Item = &Arc<Index>> {
        self.catalog.indexes().filter(|index| self.may_read(index))
    }

    /// What an index's profiles are kept under.
    pub(crate) fn index_ref(&self, index: &Index) -> IndexRef {
        IndexRef { tenant: self.principal.tenant.clone(), id: index.id.clone() }
    }

    /// The index of an id, and what its profiles are kept under. One outside of the asker's grant is refused as one that is not there
    /// is to who has a grant of some only.
    pub(crate) fn index(&self, id: &str) -> Result<(&Index, IndexRef), Problem> {
        let id = IndexId::parse(id).map_err(|wrong| Problem::bad_request(format!("index id: {wrong}")))?;
        match self.catalog.index_by_id(&id) {
            Some(index) if self.may_read(index) => {
                Span::current().record("resource", tracing::field::display(&index.name));
                Ok((index, self.index_ref(index)))
            }
            Some(_) => Err(refused(&id)),
            None if self.principal.indexes.is_some() || self.principal.databases.is_some() => Err(refused(&id)),
            None => {
                let hint = did_you_mean(id.as_str(), self.granted().map(|index| index.id.as_str()));
                Err(Problem::not_found(format!("tenant {} has no profile index {id}{hint}", self.principal.tenant)))
            }
        }
    }

    fn may_read(&self, index: &Index) -> bool {
        self.principal.may_read_index(index.name.as_str(), index.definition.database.as_str())
    }
}

fn refused(id: &IndexId) -> Problem {
    Problem::forbidden(format!("the token doesn't allow reading profile index {id}"))
}

fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(VERSION_HEADER) {
        None => Ok(()),
        Some(version) if version == API_VERSION => Ok(()),
        Some(version) => {
            let shown: String = version.to_str().unwrap_or("?").chars().take(40).collect();
            Err(Problem::bad_request(format!("Api-Version is {shown:?}; there is {API_VERSION}")))
        }
    }
}

/// A parameter of a URL that is either.
pub(crate) fn boolean(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::bad_request(format!("{name} is {:?}; it is true or false", shown(value)))),
    }
}

/// What is said of a parameter of a URL that is there twice.
pub(crate) fn repeated(name: &str) -> Problem {
    Problem::bad_request(format!("{:?} is in the URL more than once; send it once", shown(name)))
}

/// As much of what a caller sent as an answer repeats.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(128).collect()
}
