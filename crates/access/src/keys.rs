//! API keys: making them, changing their secrets, ending them, and telling who knows one.

use bytes::Bytes;
use freshet_catalog::{ApiKey, Precondition, Resource};
use freshet_model::{ApiKeyDefinition, ApiKeyId, Definition, ResourceKind, ResourceName, TenantId};
use freshet_store::{Condition, Item, Key};
use jiff::Timestamp;
use secrecy::SecretString;

use crate::secret::{CurrentSecret, PREVIOUS_SECRET_LIFETIME, PreviousSecret, SecretHash, StoredSecrets, generate};
use crate::{Access, AccessError};

/// A secret that was just made. It can't be shown again.
#[derive(Debug)]
pub struct NewSecret {
    /// The key.
    pub key: ApiKey,
    /// Its new secret.
    pub secret: SecretString,
    /// Until when the secret before this one is valid too, if there was one.
    pub previous_valid_until: Option<Timestamp>,
}

/// A key whose secret the caller knew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The key's tenant.
    pub tenant: TenantId,
    /// The key as it is now.
    pub key: ApiKey,
}

/// What may be told about the secrets of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySecrets {
    /// The key.
    pub key: ApiKey,
    /// When its secret was made; none: it has none yet, [`Access::rotate`] makes one.
    pub secret_created_at: Option<Timestamp>,
    /// Until when the secret before that is valid too.
    pub previous_valid_until: Option<Timestamp>,
}

impl Access {
    /// Makes an API key and its secret.
    ///
    /// # Errors
    /// [`AccessError::Catalog`] where the key exists already or its definition is refused. Where the secret can't be
    /// written after the key was made, the key is there without one: [`Access::rotate`] makes it.
    pub async fn create_key(
        &self,
        tenant: &TenantId,
        name: &str,
        definition: ApiKeyDefinition,
        now: Timestamp,
    ) -> Result<NewSecret, AccessError> {
        let definition = Definition::ApiKey(definition);
        self.catalog.put(tenant, ResourceKind::ApiKeys, name, definition, Precondition::IfAbsent, now).await?;
        self.rotate(tenant, name, now).await
    }

    /// Makes a new secret of a key. The one before it stays valid for [`PREVIOUS_SECRET_LIFETIME`]; one older than that
    /// ends now.
    ///
    /// # Errors
    /// [`AccessError::NoSuchKey`]; [`AccessError::Conflict`] where someone else does the same.
    pub async fn rotate(&self, tenant: &TenantId, name_or_id: &str, now: Timestamp) -> Result<NewSecret, AccessError> {
        let key = self.key(tenant, name_or_id).await?;
        let item = self.store.get(&place(&key.id)).await?;
        let before = item.as_ref().map(|item| read(&key.id, item)).transpose()?;
        let valid_until = now.checked_add(PREVIOUS_SECRET_LIFETIME).unwrap_or(Timestamp::MAX);
        let previous =
            before.and_then(|before| before.current).map(|current| PreviousSecret { hash: current.hash, valid_until });
        let previous_valid_until = previous.as_ref().map(|previous| previous.valid_until);
        let secret = generate()?;
        let stored = StoredSecrets {
            tenant: tenant.clone(),
            name: key.name.clone(),
            current: Some(CurrentSecret { hash: SecretHash::of(&secret), created_at: now }),
            previous,
            revoked_at: None,
        };
        self.write(&key.id, &stored, item.as_ref()).await?;
        Ok(NewSecret { key, secret, previous_valid_until })
    }

    /// Ends the secret before the present one at once. Idempotent.
    ///
    /// # Errors
    /// [`AccessError::NoSuchKey`]; [`AccessError::Conflict`].
    pub async fn drop_previous(&self, tenant: &TenantId, name_or_id: &str) -> Result<(), AccessError> {
        let key = self.key(tenant, name_or_id).await?;
        let Some(item) = self.store.get(&place(&key.id)).await? else { return Ok(()) };
        let stored = read(&key.id, &item)?;
        if stored.previous.is_none() {
            return Ok(());
        }
        self.write(&key.id, &StoredSecrets { previous: None, ..stored }, Some(&item)).await
    }

    /// Ends a key: its definition is deleted, which ends its tokens, and its secrets are erased. A key made later under
    /// the same name is another.
    ///
    /// # Errors
    /// [`AccessError::NoSuchKey`]; [`AccessError::Catalog`] where the precondition doesn't hold.
    pub async fn revoke(
        &self,
        tenant: &TenantId,
        name_or_id: &str,
        precondition: Precondition,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let key = self.key(tenant, name_or_id).await?;
        self.catalog.delete(tenant, ResourceKind::ApiKeys, key.name.as_str(), precondition).await?;
        let stored = StoredSecrets {
            tenant: tenant.clone(),
            name: key.name,
            current: None,
            previous: None,
            revoked_at: Some(now),
        };
        self.write_whatever(&key.id, &stored).await
    }

    /// Every key of a tenant, by name.
    pub async fn list(&self, tenant: &TenantId) -> Result<Vec<KeySecrets>, AccessError> {
        let resources = self.catalog.list(tenant, ResourceKind::ApiKeys).await?;
        let keys: Vec<ApiKey> = resources.iter().filter_map(api_key).collect();
        let places: Vec<Key> = keys.iter().map(|key| place(&key.id)).collect();
        let items = self.store.batch_get(&places).await?;
        keys.into_iter()
            .zip(items)
            .map(|(key, item)| {
                let stored = item.map(|item| read(&key.id, &item)).transpose()?;
                Ok(KeySecrets::of(key, stored.as_ref()))
            })
            .collect()
    }

    /// One key of a tenant.
    ///
    /// # Errors
    /// [`AccessError::NoSuchKey`].
    pub async fn show(&self, tenant: &TenantId, name_or_id: &str) -> Result<KeySecrets, AccessError> {
        let key = self.key(tenant, name_or_id).await?;
        let item = self.store.get(&place(&key.id)).await?;
        let stored = item.map(|item| read(&key.id, &item)).transpose()?;
        Ok(KeySecrets::of(key, stored.as_ref()))
    }

    /// The key whose client id and secret these are.
    ///
    /// # Errors
    /// [`AccessError::WrongCredentials`] for every reason why not.
    pub async fn authenticate(
        &self,
        client_id: &str,
        secret: &SecretString,
        now: Timestamp,
    ) -> Result<KnownKey, AccessError> {
        let id = ApiKeyId::parse(client_id).map_err(|_| AccessError::WrongCredentials)?;
        let item = self.store.get(&place(&id)).await?.ok_or(AccessError::WrongCredentials)?;
        let stored = read(&id, &item)?;
        if !stored.allow(secret, now) {
            return Err(AccessError::WrongCredentials);
        }
        // The definition is the truth about a key: without it, or with another under its name, the key has ended.
        let resource = self.catalog.get(&stored.tenant, ResourceKind::ApiKeys, stored.name.as_str()).await?;
        let key = resource.as_ref().and_then(api_key).filter(|key| key.id == id);
        key.map(|key| KnownKey { tenant: stored.tenant, key }).ok_or(AccessError::WrongCredentials)
    }

    /// A key by its name or its id; no key's name is an id.
    ///
    /// # Errors
    /// [`AccessError::NoSuchKey`].
    pub async fn key(&self, tenant: &TenantId, name_or_id: &str) -> Result<ApiKey, AccessError> {
        let key = match ApiKeyId::parse(name_or_id) {
            Ok(id) => {
                let keys = self.catalog.list(tenant, ResourceKind::ApiKeys).await?;
                keys.iter().filter_map(api_key).find(|key| key.id == id)
            }
            Err(_) => self.catalog.get(tenant, ResourceKind::ApiKeys, name_or_id).await?.as_ref().and_then(api_key),
        };
        key.ok_or_else(|| AccessError::NoSuchKey { key: name_or_id.to_owned() })
    }

    async fn write(&self, id: &ApiKeyId, stored: &StoredSecrets, over: Option<&Item>) -> Result<(), AccessError> {
        let condition = over.map_or(Condition::Absent, |item| Condition::Is(item.version));
        self.store.put(&place(id), encode(id, stored)?, condition).await?;
        Ok(())
    }

    async fn write_whatever(&self, id: &ApiKeyId, stored: &StoredSecrets) -> Result<(), AccessError> {
        self.store.put(&place(id), encode(id, stored)?, Condition::Any).await?;
        Ok(())
    }
}

impl KeySecrets {
    fn of(key: ApiKey, stored: Option<&StoredSecrets>) -> Self {
        Self {
            key,
            secret_created_at: stored.and_then(|stored| Some(stored.current.as_ref()?.created_at)),
            previous_valid_until: stored.and_then(|stored| Some(stored.previous.as_ref()?.valid_until)),
        }
    }
}

/// A resource as the API key that it is.
pub(crate) fn api_key(resource: &Resource) -> Option<ApiKey> {
    match &resource.definition {
        Definition::ApiKey(definition) => Some(ApiKey {
            name: ResourceName::parse(&resource.name).ok()?,
            id: resource.key_id.clone()?,
            definition: definition.clone(),
            created_at: resource.created_at,
        }),
        _ => None,
    }
}

/// Where the secrets of a key lie. By the key's id alone: whoever authenticates names no tenant.
fn place(id: &ApiKeyId) -> Key {
    Key::new(format!("access/{id}"), "secrets")
}

fn read(id: &ApiKeyId, item: &Item) -> Result<StoredSecrets, AccessError> {
    serde_json::from_slice(&item.value).map_err(|source| AccessError::Corrupt { key: id.to_string(), source })
}

fn encode(id: &ApiKeyId, stored: &StoredSecrets) -> Result<Bytes, AccessError> {
    let bytes = serde_json::to_vec(stored).map_err(|source| AccessError::Corrupt { key: id.to_string(), source })?;
    Ok(Bytes::from(bytes))
}
