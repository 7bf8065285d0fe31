//! Scenarios through the front door: the `freshet` binary as its users run it, over HTTP and its command line, on both platforms;
//! killed, stopped, cut off from its servers and out of room on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod client;
mod deployment;
mod events;
mod process;
mod server;

mod command_line;
mod demo;
mod disk_full;
mod group;
mod kills;
mod outages;
mod pages;
mod purchases;
mod runs;
mod sampling;
mod secrets;
mod sending;
mod service;
mod stops;
mod xml;
