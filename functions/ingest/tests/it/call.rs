//! One call of ingest and its answer.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use freshet_http::read_body;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::scene::{ORDERS, Scene};

/// A call that is right, unless it is changed: `{}` to stream `orders` with request id `r-1`.
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
}

impl Call {
    pub(crate) fn new(scene: &Scene) -> Self {
        let right = Self {
            method: Method::POST,
            path: format!("/stream/v0/data/{ORDERS}"),
            headers: Vec::new(),
            body: Body::from("{}"),
        };
        right
            .with("authorization", format!("Bearer {}", scene.shop))
            .with("x-amperity-tenant", "acme")
            .with("content-type", "application/json")
            .with("x-request-id", "r-1")
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn stream(self, id: &str) -> Self {
        self.path(&format!("/stream/v0/data/{id}"))
    }

    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// With a header in place of those of the same name.
    pub(crate) fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).and(name, value)
    }

    /// With one more header.
    pub(crate) fn and(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(self, scene: &Scene) -> Answer {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let response = scene.router.clone().oneshot(request.body(self.body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: read_body(body, 1 << 20).await.unwrap() }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// That this is exactly this problem, of request `r-1`.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, detail: &str) {
        self.assert_problem_with(status, detail, Value::Null);
    }

    /// That this is exactly this problem, of request `r-1`, with these errors; null: with none.
    #[track_caller]
    pub(crate) fn assert_problem_with(&self, status: u16, detail: &str, errors: Value) {
        let (kind, title) = match status {
            400 => ("bad-request", "the request is not right"),
            401 => ("unauthorized", "a valid bearer token is needed"),
            403 => ("forbidden", "the token doesn't allow this"),
            404 => ("not-found", "there is no such thing"),
            405 => ("method-not-allowed", "the method is not allowed here"),
            413 => ("too-large", "a limit is exceeded"),
            415 => ("unsupported-media-type", "the content's type or encoding is not supported"),
            429 => ("too-many-requests", "too much at once"),
            500 => ("internal", "something went wrong on our side"),
            503 => ("unavailable", "not available at the moment"),
            _ => panic!("no problem has status {status}"),
        };
        let mut expected = json!({
            "type": format!("urn:freshet:problem:{kind}"),
            "title": title,
            "status": status,
            "detail": detail,
            "request_id": "r-1",
        });
        if !errors.is_null() {
            expected["errors"] = errors;
        }
        assert_eq!((self.status, self.json()), (status, expected));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("x-request-id"), Some("r-1"));
        assert_eq!(self.header("www-authenticate"), (status == 401).then_some("Bearer"));
        assert_eq!(self.header("retry-after").is_some(), matches!(status, 429 | 503));
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).unwrap()
}
