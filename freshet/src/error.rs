//! Why a command failed, in words that say what to do next.

use std::path::PathBuf;

use serde::Deserialize;

/// One thing that is wrong with a request, as a problem document names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ProblemItem {
    /// The record's place in the request.
    #[serde(default)]
    pub(crate) index: Option<u64>,
    /// The field's path.
    #[serde(default)]
    pub(crate) field: Option<String>,
    /// What is wrong, and what would be right.
    pub(crate) message: String,
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Problem {
    /// The kind of problem, for people.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What is wrong this time.
    #[serde(default)]
    pub(crate) detail: String,
    /// Everything that is wrong.
    #[serde(default)]
    pub(crate) errors: Vec<ProblemItem>,
    /// The request's id, as it stands in the server's log.
    #[serde(default)]
    pub(crate) request_id: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", if self.detail.is_empty() { &self.title } else { &self.detail })?;
        for item in &self.errors {
            write!(f, "\n  ")?;
            if let Some(index) = item.index {
                write!(f, "record {index}: ")?;
            }
            if let Some(field) = item.field.as_ref().filter(|field| !field.is_empty()) {
                write!(f, "{field}: ")?;
            }
            write!(f, "{}", item.message)?;
        }
        Ok(())
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// No server answers.
    #[error("no server answers at {url}; start one with: freshet up")]
    NoServer {
        /// Where it was looked for.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused.
    #[error("the server refused ({}): {problem}{}", .problem.status, next_step(problem))]
    Refused {
        /// Why.
        problem: Box<Problem>,
    },
    /// The server's answer can't be understood.
    #[error("{url} does not answer as Freshet does: {reason}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is odd.
        reason: String,
    },
    /// There are no credentials.
    #[error("{0}")]
    Credentials(String),
    /// A file can't be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was given can't be used.
    #[error("{0}")]
    Input(String),
    /// The work was done but something came out wrong.
    #[error("{0}")]
    Failed(String),
}

fn next_step(problem: &Problem) -> &'static str {
    match problem.status {
        401 => "\nget a token with: freshet tokens issue KEY",
        403 => "\nuse a token with the scope that this needs: freshet keys list",
        _ => "",
    }
}

impl CommandError {
    /// The exit status: 2 for wrong use, 1 for failure.
    #[must_use]
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Input(_) | Self::Credentials(_) => 2,
            _ => 1,
        }
    }
}
