//! The two stores that the suite runs on.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use freshet_store::{DynamoSettings, DynamoStore, RedbStore, Store};
use freshet_testkit::{MiniStack, random_name};
use tempfile::TempDir;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Platform {
    Redb,
    DynamoDb,
}

/// An empty store, gone when dropped.
pub(crate) struct TestStore {
    pub(crate) store: Arc<dyn Store>,
    _directory: Option<TempDir>,
}

impl std::ops::Deref for TestStore {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        self.store.as_ref()
    }
}

impl Platform {
    pub(crate) async fn store(self) -> TestStore {
        match self {
            Self::Redb => {
                let directory = tempfile::tempdir().unwrap();
                let store = RedbStore::open(&directory.path().join("store.redb")).unwrap();
                TestStore { store: Arc::new(store), _directory: Some(directory) }
            }
            Self::DynamoDb => {
                let ministack = MiniStack::shared().await.unwrap();
                let store = dynamo_store(&ministack.endpoint(), &random_name("store"));
                store.create_table().await.unwrap();
                TestStore { store: Arc::new(store), _directory: None }
            }
        }
    }
}

/// A store in a table of the server at `endpoint`; the table may not be there.
pub(crate) fn dynamo_store(endpoint: &str, table: &str) -> DynamoStore {
    let settings = DynamoSettings { table: table.to_owned(), endpoint: Some(endpoint.to_owned()) };
    DynamoStore::new(&aws_config(), settings)
}

pub(crate) fn aws_config() -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}
