//! Reads the environment once and builds from it what every function and job works with; telemetry.
//!
//! * [`Settings::from_environment`] is the only reader of environment variables. It refuses unknown `FRESHET_*` variables
//!   by name and reports everything that is wrong at once.
//! * [`Services::open`] builds the three seams (store, queue, files) in the combination that the settings ask for, and the
//!   catalog, access and clock over them; [`FileServices::open`] for those who need no queue, [`StoreServices::open`] for those who
//!   need the store alone. Handlers take these; none of them reads the environment or the system's clock.
//! * [`telemetry`] sets up logs and metrics.
//!
//! Promises: what a local directory acknowledged as written is synced to disk ([`files::DurableDirectory`]); keys are
//! written readable by their owner alone; no secret shows in a log or an error.

mod clock;
mod credentials;
pub mod files;
mod links;
mod private_file;
mod secrets;
mod services;
mod settings;
pub mod telemetry;

pub use clock::Clock;
pub use private_file::write_private;
pub use secrets::Secrets;
pub use services::{ActivationServices, ExternalRoots, FileServices, OpenError, Services, StoreServices, TableFiles};
pub use settings::{
    FilesSettings, KafkaConnection, KeySettings, LogFormat, QueueSettings, Settings, SettingsError, StoreSettings,
    parse_duration,
};
