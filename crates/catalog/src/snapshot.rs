//! All definitions of a tenant at one moment, typed, for those who look things up and change nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use freshet_model::{
    ActivationDefinition, ApiKeyDefinition, ApiKeyId, DatabaseDefinition, Definition, IndexDefinition, IndexId,
    QueryDefinition, ResourceName, StreamDefinition, StreamId, TableDefinition, TableName, TenantId,
};
use jiff::Timestamp;

use crate::{CatalogError, Resource};

/// A stream, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: ResourceName,
    /// Its endpoint's id.
    pub id: StreamId,
    /// What it is.
    pub definition: StreamDefinition,
}

/// A database, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its name.
    pub name: ResourceName,
    /// What it is.
    pub definition: DatabaseDefinition,
}

/// A table, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub definition: TableDefinition,
    /// It takes only records received at this time or later; none: from the first that the queue still has.
    pub start_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A saved query, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Its name.
    pub name: ResourceName,
    /// What it is.
    pub definition: QueryDefinition,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A profile index, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: ResourceName,
    /// Its id in the URLs of profiles.
    pub id: IndexId,
    /// What it is.
    pub definition: IndexDefinition,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// An activation, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Its name.
    pub name: ResourceName,
    /// What it is.
    pub definition: ActivationDefinition,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An API key, named. Its secret is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name.
    pub name: ResourceName,
    /// Its identity, also its `client_id`.
    pub id: ApiKeyId,
    /// What it may do.
    pub definition: ApiKeyDefinition,
    /// When it was made.
    pub created_at: Timestamp,
}

/// All definitions of a tenant at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantCatalog {
    tenant: TenantId,
    streams: BTreeMap<ResourceName, Arc<Stream>>,
    streams_by_id: HashMap<StreamId, Arc<Stream>>,
    databases: BTreeMap<ResourceName, Arc<Database>>,
    tables: BTreeMap<TableName, Arc<Table>>,
    tables_by_stream: HashMap<ResourceName, Vec<Arc<Table>>>,
    tables_by_database: HashMap<ResourceName, Vec<Arc<Table>>>,
    queries: BTreeMap<ResourceName, Arc<Query>>,
    indexes: BTreeMap<ResourceName, Arc<Index>>,
    indexes_by_id: HashMap<IndexId, Arc<Index>>,
    activations: BTreeMap<ResourceName, Arc<Activation>>,
    api_keys: BTreeMap<ResourceName, Arc<ApiKey>>,
    api_keys_by_id: HashMap<ApiKeyId, Arc<ApiKey>>,
}

impl TenantCatalog {
    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The stream of an id.
    #[must_use]
    pub fn stream_by_id(&self, id: &StreamId) -> Option<&Arc<Stream>> {
        self.streams_by_id.get(id)
    }

    /// The stream of a name.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<&Arc<Stream>> {
        self.streams.get(name)
    }

    /// Every stream, by name.
    pub fn streams(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.streams.values()
    }

    /// The database of a name.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&Arc<Database>> {
        self.databases.get(name)
    }

    /// Every database, by name.
    pub fn databases(&self) -> impl Iterator<Item = &Arc<Database>> {
        self.databases.values()
    }

    /// The table of a name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// Every table, by name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// The tables that a stream feeds, active or not, by name.
    #[must_use]
    pub fn tables_of_stream(&self, stream: &str) -> &[Arc<Table>] {
        self.tables_by_stream.get(stream).map_or(&[], Vec::as_slice)
    }

    /// The tables that show in a database, active or not, by name.
    #[must_use]
    pub fn tables_of_database(&self, database: &str) -> &[Arc<Table>] {
        self.tables_by_database.get(database).map_or(&[], Vec::as_slice)
    }

    /// The saved query of a name.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&Arc<Query>> {
        self.queries.get(name)
    }

    /// Every saved query, by name.
    pub fn queries(&self) -> impl Iterator<Item = &Arc<Query>> {
        self.queries.values()
    }

    /// The profile index of a name.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<&Arc<Index>> {
        self.indexes.get(name)
    }

    /// The profile index of an id.
    #[must_use]
    pub fn index_by_id(&self, id: &IndexId) -> Option<&Arc<Index>> {
        self.indexes_by_id.get(id)
    }

    /// Every profile index, by name.
    pub fn indexes(&self) -> impl Iterator<Item = &Arc<Index>> {
        self.indexes.values()
    }

    /// The activation of a name.
    #[must_use]
    pub fn activation(&self, name: &str) -> Option<&Arc<Activation>> {
        self.activations.get(name)
    }

    /// Every activation, by name.
    pub fn activations(&self) -> impl Iterator<Item = &Arc<Activation>> {
        self.activations.values()
    }

    /// The API key of a name.
    #[must_use]
    pub fn api_key(&self, name: &str) -> Option<&Arc<ApiKey>> {
        self.api_keys.get(name)
    }

    /// The API key of an id.
    #[must_use]
    pub fn api_key_by_id(&self, id: &ApiKeyId) -> Option<&Arc<ApiKey>> {
        self.api_keys_by_id.get(id)
    }

    /// Every API key, by name.
    pub fn api_keys(&self) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.api_keys.values()
    }

    /// The look-ups of a tenant's resources.
    pub(crate) fn of<'a>(
        tenant: TenantId,
        resources: impl Iterator<Item = &'a Resource>,
    ) -> Result<Self, CatalogError> {
        let mut catalog = Self {
            tenant,
            streams: BTreeMap::new(),
            streams_by_id: HashMap::new(),
            databases: BTreeMap::new(),
            tables: BTreeMap::new(),
            tables_by_stream: HashMap::new(),
            tables_by_database: HashMap::new(),
            queries: BTreeMap::new(),
            indexes: BTreeMap::new(),
            indexes_by_id: HashMap::new(),
            activations: BTreeMap::new(),
            api_keys: BTreeMap::new(),
            api_keys_by_id: HashMap::new(),
        };
        for resource in resources {
            catalog.insert(resource)?;
        }
        // By name, whatever order they came in.
        let tables: Vec<Arc<Table>> = catalog.tables.values().cloned().collect();
        for table in tables {
            catalog.tables_by_stream.entry(table.definition.stream.clone()).or_default().push(Arc::clone(&table));
            for database in &table.definition.databases {
                catalog.tables_by_database.entry(database.clone()).or_default().push(Arc::clone(&table));
            }
        }
        Ok(catalog)
    }

    fn insert(&mut self, resource: &Resource) -> Result<(), CatalogError> {
        let corrupt = |reason: String| CatalogError::Corrupt {
            key: format!("{}/{}/{}", self.tenant, resource.kind(), resource.name),
            reason,
        };
        let resource_name = || ResourceName::parse(&resource.name).map_err(|error| corrupt(error.to_string()));
        match &resource.definition {
            Definition::Stream(definition) => {
                let name = resource_name()?;
                let id = definition.id.clone().ok_or_else(|| corrupt("it has no id".to_owned()))?;
                let stream = Arc::new(Stream { name: name.clone(), id: id.clone(), definition: definition.clone() });
                self.streams.insert(name, Arc::clone(&stream));
                self.streams_by_id.insert(id, stream);
            }
            Definition::Database(definition) => {
                let name = resource_name()?;
                let database = Arc::new(Database { name: name.clone(), definition: definition.clone() });
                self.databases.insert(name, database);
            }
            Definition::Table(definition) => {
                let name = TableName::parse(&resource.name).map_err(|error| corrupt(error.to_string()))?;
                let table = Table {
                    name: name.clone(),
                    definition: definition.clone(),
                    start_at: resource.start_at,
                    created_at: resource.created_at,
                };
                self.tables.insert(name, Arc::new(table));
            }
            Definition::Query(definition) => {
                let name = resource_name()?;
                let query = Query {
                    name: name.clone(),
                    definition: definition.clone(),
                    created_at: resource.created_at,
                    updated_at: resource.updated_at,
                };
                self.queries.insert(name, Arc::new(query));
            }
            Definition::Index(definition) => {
                let name = resource_name()?;
                let id = definition.id.clone().ok_or_else(|| corrupt("it has no id".to_owned()))?;
                let index = Arc::new(Index {
                    name: name.clone(),
                    id: id.clone(),
                    definition: definition.clone(),
                    created_at: resource.created_at,
                    updated_at: resource.updated_at,
                });
                self.indexes.insert(name, Arc::clone(&index));
                self.indexes_by_id.insert(id, index);
            }
            Definition::Activation(definition) => {
                let name = resource_name()?;
                let (definition, created_at) = (definition.clone(), resource.created_at);
                self.activations.insert(name.clone(), Arc::new(Activation { name, definition, created_at }));
            }
            Definition::ApiKey(definition) => {
                let name = resource_name()?;
                let id = resource.key_id.clone().ok_or_else(|| corrupt("it has no key id".to_owned()))?;
                let key = Arc::new(ApiKey {
                    name: name.clone(),
                    id: id.clone(),
                    definition: definition.clone(),
                    created_at: resource.created_at,
                });
                self.api_keys.insert(name, Arc::clone(&key));
                self.api_keys_by_id.insert(id, key);
            }
        }
        Ok(())
    }
}
