//! What is not answered, and what is said then.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;

use crate::scene::{
    BAD, EMPTY, FORBIDDEN, INDEX, Kind, MISSING, OTHER, Scene, TOO_LARGE, UNAUTHORIZED, UNAVAILABLE, UNSUPPORTED,
    customer,
};

#[rstest]
#[case::index(
    "/api/indexes/ix-customers2",
    MISSING,
    "tenant acme has no profile index ix-customers2; did you mean \"ix-customers1\"?"
)]
#[case::profile(
    "/api/indexes/ix-customers1/profiles/nobody",
    MISSING,
    "profile index ix-customers1 has no such profile"
)]
#[case::empty_id("/api/indexes/ix-customers1/profiles/%20", MISSING, "profile index ix-customers1 has no such profile")]
#[case::key(
    "/api/attribute/v0/indexes/ix-customers1?key=nobody",
    MISSING,
    "profile index ix-customers1 has no such profile"
)]
#[case::no_key("/api/attribute/v0/indexes/ix-customers1", BAD, "key is missing; send ?key=, the profile's id")]
#[case::field(
    "/api/indexes/ix-customers1/profiles?filter[cty]=Oslo",
    BAD,
    "\"cty\" is not a filter of the index, which has city, tier, vip; did you mean \"city\"?"
)]
#[case::parameter(
    "/api/indexes/ix-customers1/profiles?limt=3",
    BAD,
    "\"limt\" is not known here; there are filter[field], limit, next_token and with_total; did you mean \"limit\"?"
)]
#[case::twice(
    "/api/indexes/ix-customers1/profiles?filter[city]=Oslo&filter[city]=Bergen",
    BAD,
    "\"filter[city]\" is in the URL more than once; send it once"
)]
#[case::limit_0("/api/indexes/ix-customers1/profiles?limit=0", BAD, "limit is \"0\"; it is 1 to 1000 profiles")]
#[case::limit_1001(
    "/api/indexes/ix-customers1/profiles?limit=1001",
    BAD,
    "limit is \"1001\"; it is 1 to 1000 profiles"
)]
#[case::limit_text("/api/indexes/ix-customers1/profiles?limit=all", BAD, "limit is \"all\"; it is 1 to 1000 profiles")]
#[case::total("/api/indexes/ix-customers1/profiles?with_total=2", BAD, "with_total is \"2\"; it is true or false")]
#[case::token(
    "/api/indexes/ix-customers1/profiles?next_token=abc",
    BAD,
    "next_token is not of a page of this index with these filters; send the one of the page before, with its filters"
)]
#[tokio::test]
async fn what_is_asked_wrongly_is_told(#[case] path: &str, #[case] kind: Kind, #[case] detail: &str) {
    let scene = Scene::new().await;
    scene.get(path).await.assert_problem(kind, detail);
}

#[tokio::test]
async fn an_id_that_is_none_is_told() {
    let scene = Scene::new().await;
    let answer = scene.get("/api/indexes/customers%21").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body()["detail"].as_str().unwrap().starts_with("index id: "), "{}", answer.text);
}

#[tokio::test]
async fn an_unknown_version_is_told() {
    let scene = Scene::new().await;
    for mut request in scene.every_request() {
        request.headers_mut().insert("api-version", "2024-01-01".parse().unwrap());
        let detail = "Api-Version is \"2024-01-01\"; there is 2025-07-31";
        scene.send(request).await.assert_problem(BAD, detail);
    }
}

#[tokio::test]
async fn an_index_that_is_not_built_says_so() {
    let scene = Scene::new().await;
    for path in ["profiles/c-001", "profiles?filter[city]=Oslo"] {
        let answer = scene.get(&format!("/api/indexes/{EMPTY}/{path}")).await;
        let detail = "the index has not been built yet; its first refresh makes it";
        answer.assert_problem(UNAVAILABLE, detail);
        assert_eq!(answer.header("retry-after"), "10");
    }
    assert_eq!(scene.get(&format!("/api/indexes/{EMPTY}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_of_another_page_opens_nothing() {
    let mut scene = Scene::new().await;
    let page = |index: &str, query: &str| format!("/api/indexes/{index}/profiles?{query}");
    let first = scene.get(&page(INDEX, "limit=1&filter[city]=Oslo")).await.body();
    let token = first["next_token"].as_str().unwrap();
    assert!(!token.contains("c-0"), "it tells nothing");
    let mut changed = token.to_owned();
    let last = changed.pop().unwrap();
    changed.push(if last == 'A' { 'B' } else { 'A' });
    for (index, filters, token) in [
        (OTHER, "filter[city]=Oslo", token),
        (INDEX, "filter[city]=Bergen", token),
        (INDEX, "filter[tier]=1", token),
        (INDEX, "", token),
        (INDEX, "filter[city]=Oslo", changed.as_str()),
        (INDEX, "filter[city]=Oslo", &token[1..]),
    ] {
        let answer = scene.get(&page(index, &format!("limit=1&{filters}&next_token={token}"))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{index} {filters}: {}", answer.text);
    }
    let path = page(INDEX, &format!("limit=1&filter[city]=Oslo&next_token={token}"));
    assert_eq!(scene.get(&path).await.status, StatusCode::OK);
    // Another tenant, whose index has the same id, filters and profiles.
    scene.become_other_tenant().await;
    let detail = "next_token is not of a page of this index with these filters; send the one of the page before, with its filters";
    scene.get(&path).await.assert_problem(BAD, detail);
    assert_eq!(scene.get(&page(INDEX, "limit=1&filter[city]=Oslo")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn batches_are_bounded() {
    let scene = Scene::new().await;
    let path = format!("/api/indexes/{INDEX}/profiles:batchGet");
    scene.refresh(INDEX, (0..1_000).map(customer).collect()).await;
    let ids = |count: u32| (0..count).map(|number| format!("c-{number:03}")).collect::<Vec<_>>();
    let batch = scene.post(&path, &json!({"ids": ids(1_000)})).await;
    assert_eq!(batch.status, StatusCode::OK);
    let body = batch.body();
    let answered: Vec<&str> =
        body["data"].as_array().unwrap().iter().map(|profile| profile["id"].as_str().unwrap()).collect();
    assert_eq!(answered, ids(1_000));
    for count in [1_001, 100_000] {
        let detail = format!("{count} ids were given, at most 1000 are allowed");
        scene.post(&path, &json!({"ids": ids(count)})).await.assert_problem(BAD, &detail);
    }
    scene.post(&path, &json!({"ids": []})).await.assert_problem(BAD, "ids is empty; send 1 to 1000 ids");
    let unknown = scene.post(&path, &json!({"ids": ["a"], "fields": []})).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert!(unknown.text.contains("unknown field"), "{}", unknown.text);
    let untyped = scene.send(scene.request(Method::POST, &path, Body::from("{}"))).await;
    let detail = "the header Content-Type is missing; supported is application/json";
    untyped.assert_problem(UNSUPPORTED, detail);
}

#[tokio::test]
async fn what_is_too_large_is_told() {
    let scene = Scene::new().await;
    let body = json!({"ids": ["x".repeat(5 << 20)], "key": "x".repeat(5 << 20)});
    for path in ["/api/indexes/ix-customers1/profiles:batchGet", "/api/attribute/v0/indexes/ix-customers1"] {
        let detail = "the body has more than 4,194,304 bytes, the most that a request may have";
        scene.post(path, &body).await.assert_problem(TOO_LARGE, detail);
    }

    let large = |number: u32| {
        let mut row = customer(number);
        row.attributes = json!({"customer_id": row.id, "history": "x".repeat(2_600_000)}).to_string();
        row
    };
    scene.refresh(INDEX, vec![large(1), large(2)]).await;
    let path = format!("/api/indexes/{INDEX}/profiles:batchGet");
    let detail = "the profiles have more than 5000000 bytes together; ask for fewer at once";
    scene.post(&path, &json!({"ids": ["c-001", "c-002"]})).await.assert_problem(TOO_LARGE, detail);
    assert_eq!(scene.post(&path, &json!({"ids": ["c-001"]})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn filters_are_bounded() {
    let scene = Scene::new().await;
    let page = |query: &str| format!("/api/indexes/{INDEX}/profiles?{query}");
    let long = format!("filter[city]={}", "x".repeat(10_001));
    let detail = "the value of filter \"city\" has 10001 bytes, at most 10000 are allowed";
    scene.get(&page(&long)).await.assert_problem(BAD, detail);
    let many: Vec<String> = (0..1_000).map(|number| format!("filter[f{number}]=1")).collect();
    scene.get(&page(&many.join("&"))).await.assert_problem(BAD, "at most 20 filters are allowed");
    for odd in ["filter[city]=%00", "filter[city]=%FF", "filter[city]=%", "%66ilter[city]=x"] {
        assert_eq!(scene.get(&page(odd)).await.status, StatusCode::OK, "{odd}");
    }
}

#[tokio::test]
async fn who_may_not_read_is_refused() {
    let mut scene = Scene::new().await;
    let paths =
        ["/api/indexes".to_owned(), format!("/api/indexes/{INDEX}"), format!("/api/indexes/{INDEX}/profiles/c-001")];
    scene.token = scene.key("analyst", json!({"scopes": ["tables:query"]})).await;
    for path in &paths {
        scene.get(path).await.assert_problem(FORBIDDEN, "the token lacks the scope profiles:read");
    }
    scene.token = scene.key("narrow", json!({"scopes": ["profiles:read"], "indexes": ["partners"]})).await;
    // Whether an index is there is told to nobody who may not read it.
    for id in [INDEX, "ix-nothing001"] {
        for path in ["", "/profiles/c-001", "/profiles"] {
            let detail = format!("the token doesn't allow reading profile index {id}");
            scene.get(&format!("/api/indexes/{id}{path}")).await.assert_problem(FORBIDDEN, &detail);
        }
    }
    let mut request = scene.request(Method::GET, &format!("/api/indexes/{OTHER}"), Body::empty());
    request.headers_mut().insert("x-amperity-tenant", "other".parse().unwrap());
    assert_eq!(scene.send(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn who_has_no_valid_token_is_told_why_in_every_call() {
    let mut scene = Scene::new().await;
    let revoked = scene.key("gone", json!({"scopes": ["profiles:read"]})).await;
    scene.revoke("gone").await;
    let expired = scene.expired_token().await;
    let (claims, _) = scene.token.rsplit_once('.').unwrap();
    let (_, of_another) = expired.rsplit_once('.').unwrap();
    let forged = format!("{claims}.{of_another}");
    for (token, detail) in [
        ("", "the header Authorization is not of the form: Bearer <token>"),
        ("two words", "the header Authorization is not of the form: Bearer <token>"),
        ("nonsense", "the token is malformed"),
        (forged.as_str(), "the token was not issued here"),
        (expired.as_str(), "the token has expired"),
        (revoked.as_str(), "the token's key was revoked"),
    ] {
        token.clone_into(&mut scene.token);
        for request in scene.every_request() {
            let answer = scene.send(request).await;
            answer.assert_problem(UNAUTHORIZED, detail);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    for mut request in scene.every_request() {
        request.headers_mut().remove("authorization");
        let answer = scene.send(request).await;
        let detail = "the header Authorization is missing; send Authorization: Bearer <token>";
        answer.assert_problem(UNAUTHORIZED, detail);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[rstest]
#[case(Method::POST, "/api/indexes", "GET,HEAD")]
#[case(Method::DELETE, "/api/indexes/ix-customers1/profiles/c-001", "GET,HEAD")]
#[case(Method::GET, "/api/indexes/ix-customers1/profiles:batchGet", "POST")]
#[case(Method::PUT, "/api/attribute/v0/indexes/ix-customers1", "GET,HEAD,POST")]
#[tokio::test]
async fn other_methods_are_named(#[case] method: Method, #[case] path: &str, #[case] allow: &str) {
    let scene = Scene::new().await;
    let answer = scene.send(scene.request(method, path, Body::empty())).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let mut allowed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed.join(","), allow);
}
