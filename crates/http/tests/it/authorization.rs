//! Bearer, scope and tenant header, over a real catalog and real tokens.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use freshet_access::{Access, SigningKey};
use freshet_catalog::Catalog;
use freshet_http::{Problem, TenantHeader, authorize};
use freshet_model::{ApiKeyDefinition, Scope, TenantId};
use freshet_store::RedbStore;
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use secrecy::ExposeSecret;

struct Caller {
    access: Access,
    token: String,
    now: Timestamp,
    _directory: tempfile::TempDir,
}

/// A key `shop` of tenant `acme` that may write to streams, with a token valid for an hour.
async fn caller() -> Caller {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(RedbStore::open(&directory.path().join("store")).unwrap());
    let catalog = Arc::new(Catalog::new(Arc::clone(&store) as _));
    let access = Access::new(store, Arc::clone(&catalog), SigningKey::generate().unwrap());
    let now: Timestamp = "2026-06-14T00:00:00Z".parse().unwrap();
    let tenant = TenantId::parse("acme").unwrap();
    let definition =
        ApiKeyDefinition { scopes: vec![Scope::StreamsWrite], streams: None, databases: None, indexes: None };
    access.create_key(&tenant, "shop", definition, now).await.unwrap();
    let snapshot = catalog.snapshot(&tenant).await.unwrap();
    let key = snapshot.api_key("shop").unwrap();
    let token = access.issue(&tenant, key, &[Scope::StreamsWrite], now + SignedDuration::from_hours(1), now).unwrap();
    Caller { access, token: token.expose_secret().to_owned(), now, _directory: directory }
}

/// Headers of `name: value`; `{token}` stands for the token.
fn headers(lines: &[&str], token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let value = HeaderValue::from_bytes(value.replace("{token}", token).as_bytes()).unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    headers
}

impl Caller {
    async fn refusal(&self, lines: &[&str], scope: Scope, tenant: TenantHeader, hours: i64) -> Problem {
        let at = self.now + SignedDuration::from_hours(hours);
        let headers = headers(lines, &self.token);
        let problem = authorize(&headers, &self.access, at, scope, tenant).await.unwrap_err();
        let signature = self.token.rsplit_once('.').unwrap().1;
        assert!(!problem.to_string().contains(signature), "{problem}");
        problem
    }
}

const MISSING: &str = "the header Authorization is missing; send Authorization: Bearer <token>";
const FORM: &str = "the header Authorization is not of the form: Bearer <token>";

#[rstest]
#[case::missing(&[], 0, MISSING)]
#[case::empty(&["authorization: "], 0, FORM)]
#[case::other_scheme(&["authorization: Basic {token}"], 0, FORM)]
#[case::no_token(&["authorization: Bearer "], 0, FORM)]
#[case::two_tokens(&["authorization: Bearer {token} {token}"], 0, FORM)]
#[case::not_ascii(&["authorization: Bearer ü"], 0, FORM)]
#[case::twice(
    &["authorization: Bearer {token}", "authorization: Bearer {token}"],
    0,
    "the header Authorization is there more than once; send it once"
)]
#[case::no_jwt(&["authorization: Bearer secret"], 0, "the token is malformed")]
#[case::expired(&["authorization: Bearer {token}"], 1, "the token has expired")]
#[case::before_the_tenant(&["x-tenant: !"], 0, MISSING)]
#[tokio::test]
async fn without_a_token_that_holds_it_is_401(#[case] lines: &[&str], #[case] hours: i64, #[case] detail: &str) {
    let problem = caller().await.refusal(lines, Scope::StreamsWrite, TenantHeader::Required, hours).await;
    assert_eq!((problem.status(), problem.detail()), (StatusCode::UNAUTHORIZED, detail));
}

#[tokio::test]
async fn a_token_of_another_signer_is_401() {
    let (ours, theirs) = (caller().await, caller().await);
    let lines = [format!("authorization: Bearer {}", theirs.token)];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let problem = ours.refusal(&lines, Scope::StreamsWrite, TenantHeader::Required, 0).await;
    assert_eq!((problem.status(), problem.detail()), (StatusCode::UNAUTHORIZED, "the token was not issued here"));
}

#[tokio::test]
async fn a_scope_that_is_not_the_tokens_is_403_even_without_a_tenant() {
    let problem =
        caller().await.refusal(&["authorization: Bearer {token}"], Scope::Admin, TenantHeader::Required, 0).await;
    assert_eq!((problem.status(), problem.detail()), (StatusCode::FORBIDDEN, "the token lacks the scope admin"));
}

#[rstest]
#[case::absent(
    &[],
    400,
    "the tenant header is missing; send X-Amperity-Tenant (or Amperity-Tenant, or X-Tenant) with the tenant's id"
)]
#[case::malformed(
    &["x-tenant: Acme"],
    400,
    "the tenant header is not right: \"Acme\" is not a tenant: 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit"
)]
#[case::another(&["x-amperity-tenant: other"], 403, "the token is not one of tenant other")]
#[case::different(
    &["x-amperity-tenant: acme", "amperity-tenant: other"],
    400,
    "the tenant headers name different tenants; send one of X-Amperity-Tenant, Amperity-Tenant, X-Tenant"
)]
#[case::different_in_one_name(
    &["x-tenant: acme", "x-tenant: other"],
    400,
    "the tenant headers name different tenants; send one of X-Amperity-Tenant, Amperity-Tenant, X-Tenant"
)]
#[tokio::test]
async fn the_tenant_header_must_name_the_tokens(#[case] tenant: &[&str], #[case] status: u16, #[case] detail: &str) {
    let lines: Vec<&str> = ["authorization: Bearer {token}"].into_iter().chain(tenant.iter().copied()).collect();
    let problem = caller().await.refusal(&lines, Scope::StreamsWrite, TenantHeader::Required, 0).await;
    assert_eq!((problem.status().as_u16(), problem.detail()), (status, detail));
}

#[rstest]
#[case::amperity(TenantHeader::Required, &["X-Amperity-Tenant: acme"])]
#[case::amperity_without_x(TenantHeader::Required, &["amperity-tenant: acme"])]
#[case::short(TenantHeader::Required, &["X-TENANT: acme"])]
#[case::all_the_same(TenantHeader::Required, &["x-tenant: acme", "amperity-tenant: acme", "x-amperity-tenant: acme"])]
#[case::none_where_optional(TenantHeader::Optional, &[])]
#[tokio::test]
async fn a_token_with_its_tenant_and_scope_is_let_in(#[case] presence: TenantHeader, #[case] tenant: &[&str]) {
    let caller = caller().await;
    let lines: Vec<&str> = ["authorization: bearer  {token}"].into_iter().chain(tenant.iter().copied()).collect();
    let headers = headers(&lines, &caller.token);
    let principal = authorize(&headers, &caller.access, caller.now, Scope::StreamsWrite, presence).await.unwrap();
    assert_eq!((principal.tenant.as_str(), principal.key_name.as_str()), ("acme", "shop"));
}
