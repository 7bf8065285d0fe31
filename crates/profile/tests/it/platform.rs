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
                let store = dynamo_store(&ministack.endpoint(), &random_name("profile"));
                store.create_table().await.unwrap();
                TestStore { store: Arc::new(store), _directory: None }
            }
        }
    }
}

fn dynamo_store(endpoint: &str, table: &str) -> DynamoStore {
    let settings = DynamoSettings { table: table.to_owned(), endpoint: Some(endpoint.to_owned()) };
    let credentials = Credentials::new("test", "test", None, None, "tests");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    DynamoStore::new(&config, settings)
}
