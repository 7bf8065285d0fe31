//! Posting a batch to a webhook until it is taken, refused, or given up.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_model::WebhookUrl;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use rand::RngExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::{Instant, sleep};
use url::Host;

use crate::address::{Guard, Refused};
use crate::signature::Keys;
use crate::{ActivationError, ActivationLimits};

/// Characters of an answer that an error repeats.
const SHOWN: usize = 200;

/// A webhook, ready to be posted to.
pub(crate) struct Webhook {
    client: Client,
    url: Url,
    host: String,
    keys: Keys,
    limits: ActivationLimits,
    give_up: Instant,
}

/// What came of one attempt.
enum Attempt {
    Taken,
    /// Why not, and when the receiver asks for the next.
    Later(String, Option<Duration>),
    Refused(ActivationError),
}

impl Webhook {
    pub(crate) fn new(
        url: &WebhookUrl,
        keys: Keys,
        guard: Guard,
        limits: ActivationLimits,
    ) -> Result<Self, ActivationError> {
        let refused = |host: &str| ActivationError::Address { host: host.to_owned() };
        let url = Url::parse(url.as_str()).map_err(|_| refused("the URL"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        // An address in the place of a name is resolved by nobody, and so checked here.
        let is_allowed = match url.host() {
            Some(Host::Ipv4(address)) => guard.allows(address.into()),
            Some(Host::Ipv6(address)) => guard.allows(address.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        };
        if !is_allowed {
            return Err(refused(&host));
        }
        let client = Client::builder()
            .user_agent("freshet")
            .dns_resolver(Arc::new(guard))
            .redirect(Policy::none())
            // A proxy would resolve the name anew.
            .no_proxy()
            .referer(false)
            .timeout(limits.request)
            .connect_timeout(limits.request)
            .build()
            .map_err(ActivationError::Client)?;
        Ok(Self { client, url, host, keys, limits, give_up: Instant::now() + limits.time })
    }

    /// Posts a batch under its id until it is taken.
    ///
    /// # Errors
    /// The receiver refuses it, or takes it in none of the attempts.
    pub(crate) async fn post(
        &self,
        id: &str,
        batch: u64,
        body: &Bytes,
        now: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Result<(), ActivationError> {
        let mut pause = self.limits.first_pause;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (why, asked) = match self.attempt(id, batch, body, now()).await {
                Attempt::Taken => return Ok(()),
                Attempt::Refused(error) => return Err(error),
                Attempt::Later(why, asked) => (why, asked),
            };
            let half = rand::rng().random_range(0.5..1.0);
            let wait = asked.unwrap_or_else(|| pause.mul_f64(half)).min(self.limits.longest_pause);
            if attempts >= self.limits.attempts || Instant::now() + wait > self.give_up {
                return Err(ActivationError::Unanswered { host: self.host.clone(), batch, attempts, why });
            }
            tracing::info!(host = self.host, batch, attempts, why, "a batch was not taken and is posted again");
            sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
    }

    async fn attempt(&self, id: &str, batch: u64, body: &Bytes, now: Timestamp) -> Attempt {
        let timestamp = now.as_second();
        let sent = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.keys.sign(id, timestamp, body))
            .header("idempotency-key", id)
            .body(body.clone())
            .send()
            .await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => return self.of_error(&error),
        };
        let status = answer.status();
        if status.is_success() {
            return Attempt::Taken;
        }
        let is_temporary =
            status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        if is_temporary {
            let asked = retry_after(answer.headers(), now);
            return Attempt::Later(format!("it answered {}", status.as_u16()), asked);
        }
        let shown = self.start_of(answer).await;
        let answer = if shown.is_empty() { shown } else { format!(": {shown}") };
        Attempt::Refused(ActivationError::Rejected { host: self.host.clone(), status: status.as_u16(), batch, answer })
    }

    fn of_error(&self, error: &reqwest::Error) -> Attempt {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if inner.is::<Refused>() {
                return Attempt::Refused(ActivationError::Address { host: self.host.clone() });
            }
            cause = inner.source();
        }
        let why = if error.is_timeout() {
            format!("it did not answer within {} s", self.limits.request.as_secs_f64())
        } else if error.is_connect() {
            "it can't be connected to".to_owned()
        } else {
            "the connection broke".to_owned()
        };
        Attempt::Later(why, None)
    }

    /// The start of an answer, in one line. No more of it is read.
    async fn start_of(&self, mut answer: Response) -> String {
        let mut read = Vec::new();
        while read.len() < self.limits.answer_bytes {
            match answer.chunk().await {
                Ok(Some(piece)) => read.extend_from_slice(&piece),
                // What was read has to do.
                Ok(None) | Err(_) => break,
            }
        }
        read.truncate(self.limits.answer_bytes);
        let text = String::from_utf8_lossy(&read);
        let words: Vec<&str> = text.split(|letter: char| letter.is_whitespace() || letter.is_control()).collect();
        words.join(" ").trim().chars().take(SHOWN).collect()
    }
}

/// How long a receiver asks to be left alone: seconds, or until a time.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7", Some(7))]
    #[case(" 0 ", Some(0))]
    #[case("Sun, 14 Jun 2026 12:00:30 GMT", Some(30))]
    #[case("Sun, 14 Jun 2026 11:00:00 GMT", Some(0))]
    #[case("soon", None)]
    #[case("-1", None)]
    fn what_a_receiver_asks_for(#[case] text: &str, #[case] seconds: Option<u64>) {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        let now = "2026-06-14T12:00:00Z".parse().unwrap();
        assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs));
    }
}
