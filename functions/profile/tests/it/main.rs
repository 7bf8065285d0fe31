//! Profiles as their callers see them: requests to the router over real stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod answered;
mod attribute;
mod dependencies;
mod description;
mod found;
mod log;
mod outage;
mod refused;
mod scene;
