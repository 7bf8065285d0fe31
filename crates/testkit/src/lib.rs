//! Real servers, data sets and seeds for tests.
//!
//! What a test of Freshet needs from outside, and nothing of Freshet itself:
//!
//! - [`Kafka`], [`MiniStack`] (DynamoDB, S3, Lambda, API Gateway…) and [`SeaweedFs`] (S3 whose conditional PUT holds under
//!   races): real servers on free loopback ports, each in a temporary directory of its own. `shared()` is one server
//!   for the whole test binary; `start()` is a server of the test's own, which it may [kill](Kafka::kill) and
//!   [restart](Kafka::restart) where it was, with what it held.
//! - [`cdnow`]: 69,659 real purchases.
//! - [`seed`], [`random_name`], [`free_port`] and [`eventually`]: what keeps tests repeatable, apart, and free of sleeps.
//! - [`logged`]: what is logged meanwhile.
//! - [`python_script`] and [`spark_script`]: read a table with an engine that is not ours.
//!
//! The servers are installed by `make servers` into `.servers/` at the root of the workspace, or where `FRESHET_SERVERS` says;
//! Spark by `make test-spark`, into the same place.
//!
//! A server never outlives the test process, however that ends: every server has a supervisor, which holds one end of a pipe.
//! When the test process dies, by return, panic or `kill -9`, the kernel closes the other end, and the supervisor kills the
//! server with all its children and removes its directory.

mod cdnow;
mod install;
mod kafka;
mod logs;
mod ministack;
mod port;
mod python;
mod random;
mod seaweedfs;
mod supervisor;
mod wait;

pub use cdnow::{Purchase, cdnow};
pub use kafka::Kafka;
pub use logs::logged;
pub use ministack::MiniStack;
pub use port::free_port;
pub use python::{python_directory, python_script, spark_script};
pub use random::{random_name, seed};
pub use seaweedfs::SeaweedFs;
pub use wait::eventually;
