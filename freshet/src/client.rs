//! The HTTP client of the command line.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use crate::args::Connection;
use crate::credentials;
use crate::error::{CommandError, Problem};

/// Longest wait for an answer: more than the longest query may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(330);
/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A client with a token.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    token: SecretString,
    /// The tenant, where it is known.
    pub(crate) tenant: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
}

impl Client {
    /// A client of a server with a token.
    ///
    /// # Errors
    /// The system's certificates can't be loaded.
    pub(crate) fn new(url: Url, token: SecretString, tenant: Option<String>) -> Result<Self, CommandError> {
        Ok(Self { http: http()?, url, token, tenant })
    }

    /// The client that a command line asks for: its own token, or one of the data directory's admin key.
    ///
    /// # Errors
    /// There are no credentials, or the server doesn't answer or refuses them.
    pub(crate) async fn connect(connection: &Connection) -> Result<Self, CommandError> {
        if let Some(token) = &connection.token {
            let url = match &connection.url {
                Some(url) => url.clone(),
                None => local_url(connection)?,
            };
            return Self::new(url, SecretString::from(token.clone()), connection.tenant.clone());
        }
        let url = local_url(connection)?;
        if let Some(other) = connection.url.as_ref().filter(|other| **other != url) {
            return Err(CommandError::Credentials(format!(
                "the credentials in {} are for {url} alone; name a token for {other} with FRESHET_TOKEN",
                connection.data.display()
            )));
        }
        let admin = credentials::read_admin(&connection.data, connection.tenant.as_deref())?;
        let http = http()?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &admin.client_id)
            .append_pair("client_secret", admin.client_secret.expose_secret())
            .finish();
        let request = http
            .post(at(&url, "/api/v0/oauth2/token")?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let answer: TokenAnswer = read(&url, send(&url, request).await?).await?;
        let tenant = Some(admin.tenant.to_string());
        Ok(Self { http, url, token: SecretString::from(answer.access_token), tenant })
    }

    /// The server.
    #[must_use]
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// A request with the client's token and tenant.
    ///
    /// # Errors
    /// The path is not one.
    pub(crate) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, CommandError> {
        let request = self.http.request(method, at(&self.url, path)?).bearer_auth(self.token.expose_secret());
        Ok(match &self.tenant {
            Some(tenant) => request.header("X-Amperity-Tenant", tenant),
            None => request,
        })
    }

    /// Asks, and reads the answer's JSON.
    ///
    /// # Errors
    /// The server doesn't answer, refuses, or answers something else.
    pub(crate) async fn json<T: for<'de> Deserialize<'de>>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, CommandError> {
        let mut request = self.request(method, path)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        read(&self.url, send(&self.url, request).await?).await
    }

    /// Applies resources, as the query parameters say, and returns the plan.
    ///
    /// # Errors
    /// The server doesn't answer, or refuses the resources.
    pub(crate) async fn apply(&self, resources: &Value, parameters: &[(&str, &str)]) -> Result<Value, CommandError> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let request = self.request(Method::POST, &format!("/admin/v0/apply?{query}"))?.json(resources);
        read(&self.url, send(&self.url, request).await?).await
    }

    /// The definitions of a kind, by name.
    ///
    /// # Errors
    /// The server doesn't answer or refuses.
    pub(crate) async fn resources(&self, kind: &str) -> Result<BTreeMap<String, Value>, CommandError> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<Resource>,
        }
        #[derive(Deserialize)]
        struct Resource {
            name: String,
            definition: Value,
        }
        let list: List = self.json(Method::GET, &format!("/admin/v0/{kind}"), None).await?;
        Ok(list.data.into_iter().map(|resource| (resource.name, resource.definition)).collect())
    }

    /// The id of a stream's endpoint, by the stream's name.
    ///
    /// # Errors
    /// There is no such stream, or the server doesn't answer or refuses.
    pub(crate) async fn stream_id(&self, name: &str) -> Result<String, CommandError> {
        #[derive(Deserialize)]
        struct Stream {
            definition: Definition,
        }
        #[derive(Deserialize)]
        struct Definition {
            id: String,
        }
        let stream: Stream = self.json(Method::GET, &format!("/admin/v0/streams/{name}"), None).await?;
        Ok(stream.definition.id)
    }

    /// Asks for something that answers without a body.
    ///
    /// # Errors
    /// The server doesn't answer or refuses.
    pub(crate) async fn done(&self, method: Method, path: &str) -> Result<(), CommandError> {
        send(&self.url, self.request(method, path)?).await.map(drop)
    }
}

/// A text as one segment of a path.
#[must_use]
pub(crate) fn path_segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.');
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn http() -> Result<reqwest::Client, CommandError> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(ANSWER_LIMIT)
        // A redirect would carry the secret or the records to wherever it points.
        .redirect(Policy::none())
        .user_agent(concat!("freshet/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|source| CommandError::Failed(format!("no HTTP client can be made: {source}")))
}

fn local_url(connection: &Connection) -> Result<Url, CommandError> {
    let text = credentials::read_url(&connection.data).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    text.parse()
        .map_err(|_| CommandError::Input(format!("{} holds no URL: {text:?}", connection.data.join("url").display())))
}

fn at(url: &Url, path: &str) -> Result<Url, CommandError> {
    url.join(path).map_err(|source| CommandError::Input(format!("{url} with {path} is no URL: {source}")))
}

/// Sends a request; an answer that is not a success is an error.
///
/// # Errors
/// The server doesn't answer or refuses.
async fn send(url: &Url, request: RequestBuilder) -> Result<Response, CommandError> {
    let answer = request.send().await.map_err(|source| {
        if source.is_connect() {
            CommandError::NoServer { url: url.to_string(), source }
        } else {
            CommandError::Answer { url: url.to_string(), reason: source.without_url().to_string() }
        }
    })?;
    if answer.status().is_success() { Ok(answer) } else { Err(refusal(url, answer).await) }
}

async fn refusal(url: &Url, answer: Response) -> CommandError {
    #[derive(Deserialize)]
    struct OauthError {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let status = answer.status();
    let Ok(bytes) = answer.bytes().await else { return unreadable(url, status) };
    if let Ok(problem) = serde_json::from_slice::<Problem>(&bytes) {
        return CommandError::Refused { problem: Box::new(problem) };
    }
    match serde_json::from_slice::<OauthError>(&bytes) {
        Ok(oauth) => {
            let (title, detail) = (oauth.error, oauth.error_description);
            let (errors, request_id) = (Vec::new(), String::new());
            let problem = Problem { title, status: status.as_u16(), detail, errors, request_id };
            CommandError::Refused { problem: Box::new(problem) }
        }
        Err(_) => unreadable(url, status),
    }
}

fn unreadable(url: &Url, status: StatusCode) -> CommandError {
    CommandError::Answer { url: url.to_string(), reason: format!("status {status} without a problem document") }
}

async fn read<T: for<'de> Deserialize<'de>>(url: &Url, answer: Response) -> Result<T, CommandError> {
    answer
        .json()
        .await
        .map_err(|source| CommandError::Answer { url: url.to_string(), reason: source.without_url().to_string() })
}
