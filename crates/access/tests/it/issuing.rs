//! Tokens for who calls: of its own key, and of others'.

use freshet_access::{AccessError, IssuedToken, MAX_TOKEN_LIFETIME, Principal};
use freshet_catalog::Precondition;
use freshet_model::{ResourceKind, Scope};
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::{Setup, hours, now};

/// With streams `orders` and `clicks`, and what [`Setup::with_indexes`] makes.
async fn setup() -> Setup {
    let setup = Setup::new().with_indexes().await;
    for name in ["orders", "clicks"] {
        setup.put(ResourceKind::Streams, name, json!({})).await;
    }
    setup
}

/// The holder of a token of a new key, with these of its scopes, valid for so long.
async fn principal(
    setup: &Setup,
    name: &str,
    definition: Value,
    scopes: &[Scope],
    lifetime: SignedDuration,
) -> Principal {
    let made = setup.key(name, definition).await;
    let token = setup.access.issue(&setup.tenant, &made.key, scopes, now() + lifetime, now()).unwrap();
    setup.access.verify(token.expose_secret(), now()).await.unwrap()
}

async fn holder(setup: &Setup, issued: &IssuedToken, at: Timestamp) -> Principal {
    setup.access.verify(issued.token.expose_secret(), at).await.unwrap()
}

const POWERFUL: &str = "the API key has the scope admin or tokens:issue; issuing for such a key, unless it is the token's own, takes admin besides tokens:issue";
const STREAMS: &str = "the API key may write to streams that the token's own key is not allowed";
const DATABASES: &str = "the API key may query databases that the token's own key is not allowed";
const INDEXES: &str = "the API key may read indexes that the token's own key is not allowed";
const NO_ISSUER: &str = "the token lacks the scope tokens:issue, and the API key is not its own";

#[rstest]
#[case::all_but_the_powerful(json!({"scopes": ["tokens:issue"]}), json!({"scopes": ["streams:write", "tables:query", "profiles:read"]}), None)]
#[case::an_admin(json!({"scopes": ["tokens:issue"]}), json!({"scopes": ["tables:query", "admin"]}), Some(POWERFUL))]
#[case::an_issuer(json!({"scopes": ["tokens:issue"]}), json!({"scopes": ["streams:write", "tokens:issue"]}), Some(POWERFUL))]
#[case::by_an_admin(json!({"scopes": ["tokens:issue", "admin"]}), json!({"scopes": ["admin", "tokens:issue"]}), None)]
#[case::by_an_admin_that_may_not_issue(json!({"scopes": ["admin"]}), json!({"scopes": ["tables:query"]}), Some(NO_ISSUER))]
#[case::by_a_writer(json!({"scopes": ["streams:write"]}), json!({"scopes": ["streams:write"]}), Some(NO_ISSUER))]
#[case::the_same_stream(json!({"scopes": ["tokens:issue"], "streams": ["orders"]}), json!({"scopes": ["streams:write"], "streams": ["orders"]}), None)]
#[case::another_stream(json!({"scopes": ["tokens:issue"], "streams": ["orders"]}), json!({"scopes": ["streams:write"], "streams": ["orders", "clicks"]}), Some(STREAMS))]
#[case::every_stream(json!({"scopes": ["tokens:issue"], "streams": ["orders"]}), json!({"scopes": ["streams:write"]}), Some(STREAMS))]
#[case::no_stream(json!({"scopes": ["tokens:issue"], "streams": ["orders"]}), json!({"scopes": ["tables:query"]}), None)]
#[case::fewer_databases(json!({"scopes": ["tokens:issue"], "databases": ["retail", "press"]}), json!({"scopes": ["tables:query"], "databases": ["press"]}), None)]
#[case::another_database(json!({"scopes": ["tokens:issue"], "databases": ["retail"]}), json!({"scopes": ["tables:query"], "databases": ["press"]}), Some(DATABASES))]
#[case::every_database(json!({"scopes": ["tokens:issue"], "databases": ["retail"]}), json!({"scopes": ["tables:query"]}), Some(DATABASES))]
#[case::database_of_indexes(json!({"scopes": ["tokens:issue"], "databases": ["retail"]}), json!({"scopes": ["profiles:read"], "indexes": ["buyers"]}), Some(DATABASES))]
#[case::the_same_index(json!({"scopes": ["tokens:issue"], "indexes": ["buyers"]}), json!({"scopes": ["profiles:read"], "indexes": ["buyers"]}), None)]
#[case::another_index(json!({"scopes": ["tokens:issue"], "indexes": ["buyers"]}), json!({"scopes": ["profiles:read"], "indexes": ["visitors"]}), Some(INDEXES))]
#[case::every_index(json!({"scopes": ["tokens:issue"], "indexes": ["buyers"]}), json!({"scopes": ["profiles:read"]}), Some(INDEXES))]
#[case::no_index(json!({"scopes": ["tokens:issue"], "indexes": ["buyers"]}), json!({"scopes": ["tables:query"]}), None)]
#[case::limits_of_an_admin(json!({"scopes": ["tokens:issue", "admin"], "streams": []}), json!({"scopes": ["streams:write"]}), None)]
#[tokio::test]
async fn an_issuer_gives_others_no_more_than_was_meant_for_it(
    #[case] issuer: Value,
    #[case] wanted: Value,
    #[case] refusal: Option<&str>,
) {
    let setup = setup().await;
    let issuer = principal(&setup, "issuer", issuer, &Scope::ALL, hours(1)).await;
    let key = setup.key("wanted", wanted).await.key;
    match (setup.access.issue_to(&issuer, &key, now() + hours(24), now()), refusal) {
        (Ok(issued), None) => {
            assert_eq!(issued.expires_at, now() + hours(24));
            let holder = holder(&setup, &issued, now() + hours(23)).await;
            assert_eq!((holder.key_id, holder.scopes), (key.id, key.definition.scopes));
        }
        (Err(AccessError::MayNotIssue { reason }), Some(refusal)) => assert_eq!(reason, refusal),
        (answer, _) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_token_without_admin_gets_none_from_its_own_key() {
    let setup = setup().await;
    let definition = json!({"scopes": ["admin", "tokens:issue"]});
    let narrow = principal(&setup, "ops", definition, &[Scope::TokensIssue], hours(1)).await;
    let key = setup.access.key(&setup.tenant, "ops").await.unwrap();
    let issued = setup.access.issue_to(&narrow, &key, now() + hours(48), now()).unwrap();
    let holder = holder(&setup, &issued, now() + hours(47)).await;
    assert_eq!(holder.scopes, [Scope::TokensIssue]);
}

#[tokio::test]
async fn the_name_of_a_key_that_has_ended_gives_nothing() {
    let setup = setup().await;
    let ended = principal(&setup, "shop", json!({"scopes": ["streams:write"]}), &Scope::ALL, hours(1)).await;
    setup.access.revoke(&setup.tenant, "shop", Precondition::None, now()).await.unwrap();
    let another = setup.key("shop", json!({"scopes": ["streams:write"]})).await.key;
    let refused = setup.access.issue_to(&ended, &another, now() + hours(1), now()).unwrap_err();
    assert!(matches!(refused, AccessError::MayNotIssue { reason: NO_ISSUER }), "{refused:?}");
}

#[rstest]
#[case::as_long_as_before(&["streams:write"], hours(1), hours(1))]
#[case::shorter(&["streams:write"], SignedDuration::from_mins(10), SignedDuration::from_mins(10))]
#[case::longer(&["streams:write"], MAX_TOKEN_LIFETIME, hours(1))]
#[case::an_admin(&["admin"], hours(2), hours(1))]
#[case::an_issuer(&["tokens:issue"], hours(2), hours(2))]
#[tokio::test]
async fn a_refreshed_token_lives_no_longer_than_the_one_before(
    #[case] scopes: &[&str],
    #[case] asked: SignedDuration,
    #[case] given: SignedDuration,
) {
    let setup = setup().await;
    let caller = principal(&setup, "k", json!({"scopes": scopes}), &Scope::ALL, hours(1)).await;
    let key = setup.access.key(&setup.tenant, "k").await.unwrap();
    let later = now() + SignedDuration::from_mins(59);
    let issued = setup.access.issue_to(&caller, &key, later + asked, later).unwrap();
    assert_eq!(issued.expires_at, later + given);
    let holder = holder(&setup, &issued, later + given - SignedDuration::from_secs(1)).await;
    assert_eq!(holder.scopes, caller.scopes);
    let ended = setup.access.verify(issued.token.expose_secret(), later + given).await.unwrap_err();
    assert!(matches!(ended, AccessError::Expired), "{ended:?}");
}

#[tokio::test]
async fn refreshing_ends_366_days_after_the_first_token() {
    let setup = setup().await;
    let days = |days: i64| hours(24 * days);
    let mut caller = principal(&setup, "k", json!({"scopes": ["admin"]}), &Scope::ALL, days(100)).await;
    let key = setup.access.key(&setup.tenant, "k").await.unwrap();
    for (day, ends) in [(99, 199), (198, 298), (297, 366), (365, 366)] {
        let at = now() + days(day);
        let issued = setup.access.issue_to(&caller, &key, at + days(100), at).unwrap();
        assert_eq!(issued.expires_at, now() + days(ends), "refreshed on day {day}");
        caller = holder(&setup, &issued, at).await;
    }
}

#[rstest]
#[case::now(SignedDuration::ZERO)]
#[case::too_far(MAX_TOKEN_LIFETIME + SignedDuration::from_secs(1))]
#[tokio::test]
async fn an_expiry_that_cant_be_is_refused_not_shortened(#[case] ahead: SignedDuration) {
    let setup = setup().await;
    let caller = principal(&setup, "k", json!({"scopes": ["admin"]}), &Scope::ALL, hours(1)).await;
    let key = setup.access.key(&setup.tenant, "k").await.unwrap();
    let refused = setup.access.issue_to(&caller, &key, now() + ahead, now()).unwrap_err();
    assert!(matches!(refused, AccessError::Expiry { .. }), "{refused:?}");
}
