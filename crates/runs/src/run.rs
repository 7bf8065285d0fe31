//! What is recorded of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use freshet_model::{ResourceName, TenantId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{MAX_MESSAGE_BYTES, MAX_STEPS};

/// The kinds of resources that are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// A database: its tables made by SQL are made anew.
    Databases,
    /// A profile index: its profiles are made anew.
    Indexes,
    /// An activation: its query's result is sent.
    Activations,
}

impl RunKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Databases, Self::Indexes, Self::Activations];

    /// As in URLs: `databases`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Databases => "databases",
            Self::Indexes => "indexes",
            Self::Activations => "activations",
        }
    }
}

impl fmt::Display for RunKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub kind: RunKind,
    /// Its name.
    pub name: ResourceName,
}

/// The id of a run: a UUIDv7, so that ids are in the order of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for RunId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| "is not the id of a run")
    }
}

/// Why a run was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Trigger {
    /// Someone asked for it.
    Manual {
        /// The name of the API key that asked.
        by: String,
    },
    /// It was due by its cron line.
    Schedule,
    /// A table that it reads has changed.
    Commit,
    /// It is new, or its definition has changed.
    Definition,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It waits for a runner.
    Queued,
    /// A runner works on it.
    Running,
    /// It has done all that it was to do.
    Succeeded,
    /// Something of it could not be done; its steps or its error say what.
    Failed,
}

impl RunState {
    /// Whether nothing of it changes any more.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It is being done.
    Running,
    /// It is done.
    Succeeded,
    /// It could not be done; its message says why.
    Failed,
    /// It was not tried, since what it needs failed.
    Skipped,
}

/// What a step did, in numbers, by their names.
pub type Counts = BTreeMap<String, u64>;

/// A part of a run: a table that is made, an index that is refreshed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is about.
    pub name: String,
    /// How far it is.
    pub state: StepState,
    /// What it did.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: Counts,
    /// Why it failed or was skipped, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// What is recorded of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The kind of what is run.
    pub kind: RunKind,
    /// The name of what is run.
    pub name: ResourceName,
    /// Why it was started.
    pub trigger: Trigger,
    /// How far it is.
    pub state: RunState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When a runner began with it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How often a runner began with it.
    pub attempts: u32,
    /// Its steps, as they were begun.
    pub steps: Vec<Step>,
    /// Why it failed, where that is none of its steps'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Run {
    /// Notes that a step has begun. Beyond the most steps none is noted.
    pub(crate) fn begin_step(&mut self, name: &str, now: Timestamp) {
        if self.steps.len() < MAX_STEPS {
            self.steps.push(Step {
                name: name.to_owned(),
                state: StepState::Running,
                counts: Counts::new(),
                message: None,
                started_at: now,
                ended_at: None,
            });
        }
    }

    /// Notes how the step of a name that is under way ended.
    pub(crate) fn end_step(&mut self, name: &str, ended: Outcome, now: Timestamp) {
        let under_way = self.steps.iter_mut().rev().find(|step| step.name == name && step.state == StepState::Running);
        if let Some(step) = under_way {
            let (state, counts, message) = ended.parts();
            (step.state, step.counts, step.message) = (state, counts, message);
            step.ended_at = Some(now);
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Succeeded(Counts),
    /// It could not be done, and why, for people.
    Failed(String),
    /// It was not tried, and why not.
    Skipped(String),
}

impl Outcome {
    fn parts(self) -> (StepState, Counts, Option<String>) {
        match self {
            Self::Succeeded(counts) => (StepState::Succeeded, counts, None),
            Self::Failed(why) => (StepState::Failed, Counts::new(), Some(capped(&why))),
            Self::Skipped(why) => (StepState::Skipped, Counts::new(), Some(capped(&why))),
        }
    }
}

/// As much of a message as is kept.
pub(crate) fn capped(message: &str) -> String {
    if message.len() <= MAX_MESSAGE_BYTES {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(MAX_MESSAGE_BYTES);
    format!("{}…", message.get(..end).unwrap_or_default())
}

/// How the last run of a resource ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Its id.
    pub id: RunId,
    /// Whether it succeeded.
    pub state: RunState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How many runs have failed since one succeeded.
    pub failures: u32,
    /// What of the resource's definition and of what it read tells whether another run would find anything else. Of the last run that
    /// succeeded.
    pub inputs: BTreeMap<String, String>,
}

impl LastRun {
    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> SignedDuration {
        self.ended_at.duration_since(self.started_at)
    }
}
