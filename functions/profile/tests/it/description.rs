//! That what the function says of itself is what it does.

use axum::http::{Method, StatusCode};
use serde_json::Value;

use crate::scene::{Answer, EVERY_CALL, Scene};

/// What every function answers besides, which no document describes.
const SERVICE_PATHS: [&str; 2] = ["/health", "/openapi.json"];

/// Fails where an answer is not one that the OpenAPI document describes for its call: by status, content type and headers.
pub(crate) fn assert_described(api: &Value, method: &Method, path: &str, answer: &Answer) {
    let Some(described) = described_path(api, path) else {
        let is_expected = answer.status == StatusCode::NOT_FOUND || SERVICE_PATHS.contains(&path);
        assert!(is_expected, "{path} is not described, and answered: {answer:?}");
        return;
    };
    let Some(call) = described.get(method.as_str().to_ascii_lowercase()) else {
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path} is not described: {answer:?}");
        return;
    };
    let response = &call["responses"][answer.status.as_str()];
    assert!(response.is_object(), "{method} {path} is not described to answer this: {answer:?}");
    assert_eq!(names(&response["content"]), [answer.header("content-type")], "{method} {path}: {answer:?}");
    for name in names(&response["headers"]) {
        assert!(answer.headers.contains_key(name), "{method} {path} lacks {name}: {answer:?}");
    }
    let says_as_of = response["headers"].get("X-As-Of").is_some();
    assert_eq!(says_as_of, answer.headers.contains_key("x-as-of"), "{method} {path}: {answer:?}");
}

/// What the document has for a path.
fn described_path<'a>(api: &'a Value, path: &str) -> Option<&'a Value> {
    let fits = |template: &str| {
        let is_same = |(described, part): (&str, &str)| described == part || described.starts_with('{');
        template.split('/').count() == path.split('/').count() && template.split('/').zip(path.split('/')).all(is_same)
    };
    api["paths"].as_object().unwrap().iter().find_map(|(template, item)| fits(template).then_some(item))
}

fn names(object: &Value) -> Vec<&str> {
    object.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// Each path of the document with each of its methods, and what is said of it.
fn calls(api: &Value) -> Vec<(String, &Value)> {
    let paths = api["paths"].as_object().unwrap().iter();
    let calls = paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, call)| (format!("{method} {path}"), call))
    });
    calls.collect()
}

#[tokio::test]
async fn every_call_that_is_described_is_answered_so() {
    let scene = Scene::new().await;
    for request in scene.every_request() {
        let answer = scene.send(request).await;
        assert_eq!((answer.status, answer.header("x-as-of").is_empty()), (StatusCode::OK, false), "{answer:?}");
    }
    let described = |(path, body): (&str, Option<&str>)| {
        let path = path.split('?').next().unwrap();
        let method = if body.is_some() { "post" } else { "get" };
        described_path(&scene.api, path).unwrap()[method].is_object()
    };
    assert!(EVERY_CALL.into_iter().all(described));
    assert_eq!(calls(&scene.api).len(), EVERY_CALL.len(), "a call that is described is not among those tested");
}

#[tokio::test]
async fn every_call_describes_its_version_and_how_it_is_refused() {
    let scene = Scene::new().await;
    for (name, call) in calls(&scene.api) {
        let parameters = call["parameters"].as_array().unwrap();
        let version = parameters.iter().find(|parameter| parameter["name"] == "Api-Version").unwrap();
        assert_eq!((&version["in"], &version["required"]), (&"header".into(), &false.into()), "{name}");
        let mut refusals = vec!["400", "401", "403", "503"];
        if name.contains("{index_id}") {
            refusals.push("404");
        }
        if call.get("requestBody").is_some() {
            refusals.extend(["408", "413", "415"]);
        }
        refusals.sort_unstable();
        let mut described = names(&call["responses"]);
        described.retain(|status| *status != "200");
        described.sort_unstable();
        assert_eq!(described, refusals, "{name}");
    }
}
