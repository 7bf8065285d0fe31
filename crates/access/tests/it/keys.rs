//! Making keys, changing and ending their secrets.

use freshet_access::{AccessError, PREVIOUS_SECRET_LIFETIME};
use freshet_catalog::{CatalogError, Precondition};
use freshet_model::{ApiKeyDefinition, Definition, ResourceKind, TenantId};
use freshet_store::{Query, query_all};
use jiff::SignedDuration;
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::support::{Setup, hours, now, secret};

#[tokio::test]
async fn a_new_key_is_known_by_its_secret() {
    let setup = Setup::new();
    let made = setup.key("ops", json!({"scopes": ["admin"]})).await;
    assert!(made.secret.expose_secret().starts_with("fsk_"));
    assert_eq!(made.secret.expose_secret().len(), 4 + 43, "256 bits in base64");
    let known = setup.access.authenticate(made.key.id.as_str(), &made.secret, now()).await.unwrap();
    assert_eq!((&known.tenant, &known.key), (&setup.tenant, &made.key));
}

#[rstest]
#[case::another_secret(None, Some("fsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))]
#[case::no_secret(None, Some(""))]
#[case::a_huge_secret(None, Some(Box::leak("x".repeat(10_000_000).into_boxed_str()) as &str))]
#[case::another_key(Some("ak-000000000000"), None)]
#[case::no_key(Some("../../secrets"), None)]
#[tokio::test]
async fn wrong_credentials_are_all_refused_alike(#[case] id: Option<&str>, #[case] other: Option<&str>) {
    let setup = Setup::new();
    let made = setup.admin().await;
    let id = id.unwrap_or(made.key.id.as_str());
    let given = other.map_or_else(|| made.secret.clone(), secret);
    let refused = setup.access.authenticate(id, &given, now()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the client id or the client secret is not right");
}

#[tokio::test]
async fn a_rotated_secret_leaves_the_previous_one_valid_for_thirty_days() {
    let setup = Setup::new();
    let first = setup.admin().await;
    assert_eq!(first.previous_valid_until, None);
    let second = setup.access.rotate(&setup.tenant, "ops", now()).await.unwrap();
    assert_eq!(second.key.id, first.key.id);
    let end = now() + PREVIOUS_SECRET_LIFETIME;
    assert_eq!(second.previous_valid_until, Some(end));
    let id = first.key.id.as_str();
    let just_before = end - SignedDuration::from_secs(1);
    for (secret, at, valid) in [
        (&first.secret, now(), true),
        (&first.secret, just_before, true),
        (&first.secret, end, false),
        (&second.secret, end, true),
    ] {
        assert_eq!(setup.access.authenticate(id, secret, at).await.is_ok(), valid, "{at}");
    }
    let third = setup.access.rotate(&setup.tenant, "ops", now()).await.unwrap();
    for (secret, valid) in [(&first.secret, false), (&second.secret, true), (&third.secret, true)] {
        assert_eq!(setup.access.authenticate(id, secret, now()).await.is_ok(), valid);
    }
    setup.access.drop_previous(&setup.tenant, "ops").await.unwrap();
    setup.access.drop_previous(&setup.tenant, "ops").await.unwrap();
    assert!(setup.access.authenticate(id, &second.secret, now()).await.is_err());
    assert!(setup.access.authenticate(id, &third.secret, now()).await.is_ok());
}

#[tokio::test]
async fn a_revoked_key_stays_dead_when_its_name_is_used_again() {
    let setup = Setup::new();
    let first = setup.admin().await;
    setup.access.revoke(&setup.tenant, "ops", Precondition::None, now()).await.unwrap();
    let id = first.key.id.as_str();
    assert!(matches!(
        setup.access.authenticate(id, &first.secret, now()).await.unwrap_err(),
        AccessError::WrongCredentials
    ));
    let second = setup.admin().await;
    assert_ne!(second.key.id, first.key.id);
    assert!(setup.access.authenticate(id, &first.secret, now()).await.is_err());
    assert!(setup.access.authenticate(id, &second.secret, now()).await.is_err());
    assert!(setup.access.authenticate(second.key.id.as_str(), &second.secret, now()).await.is_ok());
}

#[tokio::test]
async fn a_key_whose_definition_is_deleted_is_dead_and_so_is_its_secret() {
    let setup = Setup::new();
    let made = setup.admin().await;
    setup.catalog.delete(&setup.tenant, ResourceKind::ApiKeys, "ops", Precondition::None).await.unwrap();
    let definition = Definition::ApiKey(ApiKeyDefinition::read("", &json!({"scopes": ["admin"]})).unwrap());
    setup
        .catalog
        .put(&setup.tenant, ResourceKind::ApiKeys, "ops", definition, Precondition::None, now())
        .await
        .unwrap();
    let refused = setup.access.authenticate(made.key.id.as_str(), &made.secret, now()).await.unwrap_err();
    assert!(matches!(refused, AccessError::WrongCredentials), "{refused:?}");
}

#[tokio::test]
async fn a_key_that_came_with_a_file_gets_its_secret_by_rotation() {
    let setup = Setup::new();
    let definition = Definition::ApiKey(ApiKeyDefinition::read("", &json!({"scopes": ["admin"]})).unwrap());
    setup
        .catalog
        .put(&setup.tenant, ResourceKind::ApiKeys, "ops", definition, Precondition::None, now())
        .await
        .unwrap();
    assert_eq!(setup.access.list(&setup.tenant).await.unwrap()[0].secret_created_at, None);
    let made = setup.access.rotate(&setup.tenant, "ops", now()).await.unwrap();
    assert!(setup.access.authenticate(made.key.id.as_str(), &made.secret, now()).await.is_ok());
    let listed = setup.access.list(&setup.tenant).await.unwrap();
    assert_eq!((listed[0].secret_created_at, listed[0].previous_valid_until), (Some(now()), None));
    assert_eq!(setup.access.show(&setup.tenant, "ops").await.unwrap(), listed[0]);
}

#[tokio::test]
async fn keys_are_the_tenants_own() {
    let setup = Setup::new();
    setup.admin().await;
    let other = TenantId::parse("other").unwrap();
    assert!(setup.access.list(&other).await.unwrap().is_empty());
    let refusals = [
        setup.access.rotate(&other, "ops", now()).await.map(drop).unwrap_err(),
        setup.access.drop_previous(&other, "ops").await.unwrap_err(),
        setup.access.show(&other, "ops").await.map(drop).unwrap_err(),
        setup.access.revoke(&other, "ops", Precondition::None, now()).await.unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(refused.to_string(), "there is no API key \"ops\"");
    }
}

#[tokio::test]
async fn a_key_is_not_made_twice() {
    let setup = Setup::new();
    let made = setup.admin().await;
    let definition = ApiKeyDefinition::read("", &json!({"scopes": ["admin"]})).unwrap();
    let refused = setup.access.create_key(&setup.tenant, "ops", definition, now()).await.unwrap_err();
    assert!(matches!(refused, AccessError::Catalog(CatalogError::PreconditionFailed { .. })), "{refused:?}");
    assert!(setup.access.authenticate(made.key.id.as_str(), &made.secret, now()).await.is_ok());
}

#[tokio::test]
async fn no_secret_is_stored_or_shown() {
    let setup = Setup::new();
    let made = setup.admin().await;
    let token = setup.token(&made);
    let secret = made.secret.expose_secret();
    let stored = query_all(setup.store.as_ref(), Query::prefix(format!("access/{}", made.key.id), "")).await.unwrap();
    assert_eq!(stored.len(), 1);
    let text = String::from_utf8(stored[0].value.to_vec()).unwrap();
    assert!(!text.contains(secret) && !text.contains(secret.trim_start_matches("fsk_")), "{text}");
    let pem = setup.signing_key.to_pem().expose_secret().to_owned();
    let private = pem.lines().nth(1).unwrap();
    for shown in [format!("{made:?}"), format!("{:?}", setup.access), format!("{:#?}", setup.signing_key)] {
        assert!(!shown.contains(secret) && !shown.contains(&token) && !shown.contains(private), "{shown}");
    }
    assert!(setup.access.verify(&token, now() + hours(0)).await.is_ok());
}

#[tokio::test]
async fn a_key_is_found_by_its_name_and_by_its_id() {
    let setup = Setup::new();
    let made = setup.admin().await;
    for name in ["ops", made.key.id.as_str()] {
        assert_eq!(setup.access.key(&setup.tenant, name).await.unwrap(), made.key);
    }
    let refused = setup.access.key(&setup.tenant, "ak-000000000000").await.unwrap_err();
    assert_eq!(refused.to_string(), "there is no API key \"ak-000000000000\"");
    setup.access.revoke(&setup.tenant, made.key.id.as_str(), Precondition::None, now()).await.unwrap();
    assert!(setup.access.key(&setup.tenant, "ops").await.is_err());
}
