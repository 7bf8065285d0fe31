//! Who calls, and whether they may: bearer, scope, tenant header.

use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use freshet_access::{Access, AccessError, Principal};
use freshet_model::{Scope, TenantId};
use jiff::Timestamp;

use crate::Problem;

/// The names that the tenant header goes by; they mean the same.
const TENANT_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-amperity-tenant"),
    HeaderName::from_static("amperity-tenant"),
    HeaderName::from_static("x-tenant"),
];

/// When to try again after the store could not be reached to check a token.
const ACCESS_RETRY: Duration = Duration::from_secs(2);

/// Whether a request must name its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantHeader {
    /// Absent is 400.
    Required,
    /// Absent means the token's.
    Optional,
}

/// Who calls, and that they may: 401, then the scope's 403, then the tenant header's 400 and 403.
///
/// # Errors
/// As [`authenticate`], [`require_scope`], [`check_tenant`], in this order.
pub async fn authorize(
    headers: &HeaderMap,
    access: &Access,
    now: Timestamp,
    scope: Scope,
    tenant: TenantHeader,
) -> Result<Principal, Problem> {
    let principal = authenticate(headers, access, now).await?;
    require_scope(&principal, scope)?;
    check_tenant(headers, &principal, tenant)?;
    Ok(principal)
}

/// The principal of the bearer token in `Authorization`.
///
/// # Errors
/// 401 where the header is absent, there twice, not `Bearer <token>`, or the token is malformed, not ours, expired or revoked; 503 where
/// that can't be told at the moment. No message repeats any of the header.
pub async fn authenticate(headers: &HeaderMap, access: &Access, now: Timestamp) -> Result<Principal, Problem> {
    let token = bearer(headers)?;
    let principal = access.verify(token, now).await.map_err(|error| refuse(&error))?;
    tracing::Span::current()
        .record("tenant", tracing::field::display(&principal.tenant))
        .record("key", tracing::field::display(&principal.key_name));
    Ok(principal)
}

/// 401 where the token doesn't hold; else it can't be told, now or at all, and the log has the cause.
fn refuse(error: &AccessError) -> Problem {
    match error {
        AccessError::Malformed | AccessError::BadSignature | AccessError::Expired | AccessError::Revoked => {
            Problem::unauthorized(error.to_string())
        }
        temporary if temporary.is_temporary() => {
            tracing::warn!(error = error as &dyn std::error::Error, "a token can't be checked at the moment");
            Problem::unavailable("the token can't be checked at the moment", ACCESS_RETRY)
        }
        _ => {
            tracing::error!(error = error as &dyn std::error::Error, "a token can't be checked");
            Problem::internal()
        }
    }
}

/// That the principal's token has a scope.
///
/// # Errors
/// 403 that names the scope.
pub fn require_scope(principal: &Principal, scope: Scope) -> Result<(), Problem> {
    if principal.has(scope) { Ok(()) } else { Err(Problem::forbidden(format!("the token lacks the scope {scope}"))) }
}

/// That the tenant which the request names is the token's. The tenant of everything that follows is the principal's.
///
/// # Errors
/// 400 where the header is absent and required, malformed, or names several tenants; 403 where it names another than the token's.
pub fn check_tenant(headers: &HeaderMap, principal: &Principal, presence: TenantHeader) -> Result<(), Problem> {
    match (named_tenant(headers)?, presence) {
        (Some(named), _) if named == principal.tenant => Ok(()),
        (Some(named), _) => Err(Problem::forbidden(format!("the token is not one of tenant {named}"))),
        (None, TenantHeader::Optional) => Ok(()),
        (None, TenantHeader::Required) => Err(Problem::bad_request(
            "the tenant header is missing; send X-Amperity-Tenant (or Amperity-Tenant, or X-Tenant) with the tenant's id",
        )),
    }
}

fn named_tenant(headers: &HeaderMap) -> Result<Option<TenantId>, Problem> {
    let mut named: Option<TenantId> = None;
    for value in TENANT_HEADERS.iter().flat_map(|name| headers.get_all(name)) {
        let text = value
            .to_str()
            .map_err(|_not_text| Problem::bad_request("the tenant header holds more than visible ASCII"))?;
        let tenant = TenantId::parse(text.trim())
            .map_err(|error| Problem::bad_request(format!("the tenant header is not right: {error}")))?;
        if named.as_ref().is_some_and(|other| *other != tenant) {
            return Err(Problem::bad_request(
                "the tenant headers name different tenants; send one of X-Amperity-Tenant, Amperity-Tenant, X-Tenant",
            ));
        }
        named = Some(tenant);
    }
    Ok(named)
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let malformed = || Problem::unauthorized("the header Authorization is not of the form: Bearer <token>");
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| {
        Problem::unauthorized("the header Authorization is missing; send Authorization: Bearer <token>")
    })?;
    if values.next().is_some() {
        return Err(Problem::unauthorized("the header Authorization is there more than once; send it once"));
    }
    let text = value.to_str().map_err(|_not_text| malformed())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(malformed)?;
    let token = rest.trim();
    let well_formed = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ');
    if well_formed { Ok(token) } else { Err(malformed()) }
}
