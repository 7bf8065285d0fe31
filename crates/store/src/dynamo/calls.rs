//! Calls of DynamoDB: tried again where that may help, and what it means when they fail.

use std::error::Error;
use std::time::{Duration, Instant};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::StoreError;

/// Longest time of one attempt, its answer read.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of a call with all its attempts.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Most attempts of a call.
const MAX_ATTEMPTS: u32 = 10;
/// Longest pause before the second attempt; doubled for each that follows, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Codes of answers of status 400 that say: later.
const TEMPORARY_CODES: [&str; 9] = [
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "Throttling",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// A call that failed for good, or too often.
pub(super) struct Failed<E> {
    /// What the last attempt ended with.
    pub(super) error: SdkError<E>,
    /// Whether an attempt before the last ended without saying if it was carried out.
    pub(super) may_have_happened: bool,
    /// Whether trying later may help.
    is_temporary: bool,
}

/// Sends a request until it is answered for good.
pub(super) async fn call<T, E, F>(send: impl Fn() -> F) -> Result<T, Failed<E>>
where
    E: ProvideErrorMetadata + Error + 'static,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    call_unless(send, |_| false).await
}

/// As [`call`]; besides what is temporary in every operation, `is_temporary` tells what is in this one.
pub(super) async fn call_unless<T, E, F>(
    send: impl Fn() -> F,
    is_temporary_here: impl Fn(&E) -> bool,
) -> Result<T, Failed<E>>
where
    E: ProvideErrorMetadata + Error + 'static,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    let started = Instant::now();
    let mut may_have_happened = false;
    let mut attempts = 0;
    loop {
        let error = match send().await {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        attempts += 1;
        let is_temporary = is_temporary(&error) || error.as_service_error().is_some_and(&is_temporary_here);
        let pause = pause_after(attempts);
        let would_last_too_long = started.elapsed() + pause + ATTEMPT_TIMEOUT > CALL_TIMEOUT;
        if !is_temporary || attempts == MAX_ATTEMPTS || would_last_too_long {
            return Err(Failed { error, may_have_happened, is_temporary });
        }
        tracing::debug!(attempts, error = reason(&error), "a call of DynamoDB is tried again");
        may_have_happened |= is_unclear(&error);
        tokio::time::sleep(pause).await;
    }
}

/// A pause of random length (full jitter), so that callers who failed together don't come back together.
pub(super) fn pause_after(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let longest = FIRST_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE);
    rand::random_range(Duration::ZERO..=longest)
}

impl<E> Failed<E>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    /// The failure in the store's terms. `context` says what was tried.
    pub(super) fn into_error(self, context: String) -> StoreError {
        if self.is_temporary {
            return StoreError::Unavailable { context, source: Box::new(self.error) };
        }
        let context = format!("{context}: {}{}", reason(&self.error), remedy(&self.error));
        StoreError::Refused { context, source: Some(Box::new(self.error)) }
    }
}

fn is_temporary<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(_) => !lacks_credentials(error),
        SdkError::ServiceError(answer) => {
            answer.raw().status().is_server_error()
                || answer.err().code().is_some_and(|code| TEMPORARY_CODES.contains(&code))
        }
        _ => false,
    }
}

/// Whether a failed attempt may have been carried out all the same.
fn is_unclear<E>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ServiceError(answer) => answer.raw().status().is_server_error(),
        SdkError::ConstructionFailure(_) => false,
        _ => true,
    }
}

/// Whether there are no credentials to be had at all; a provider that fails may work later.
fn lacks_credentials<E: Error + 'static>(error: &SdkError<E>) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(credentials_error) = current.downcast_ref::<CredentialsError>() {
            return matches!(
                credentials_error,
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
            );
        }
        cause = current.source();
    }
    false
}

/// What AWS answered, or what kept the call from being answered.
fn reason<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E>) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    }
}

/// What the operator can do about a refusal.
fn remedy<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E>) -> &'static str {
    match error.code() {
        Some("ResourceNotFoundException") => {
            "; create the table (partition key pk and sort key sk, both strings), or correct its name or the region"
        }
        Some("AccessDeniedException") => "; allow this role the dynamodb actions on the table",
        Some("UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException") => {
            "; give valid AWS credentials"
        }
        _ if lacks_credentials(error) => "; no AWS credentials were found, give this process a role or credentials",
        _ => "",
    }
}
