//! The command line's words.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Real-time tables over Delta Lake.
#[derive(Debug, Parser)]
#[command(name = "freshet", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Where and as whom.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Where the server is, and who asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where and who")]
pub(crate) struct Connection {
    /// The server; without it, the `freshet up` whose data directory is --data
    #[arg(long, global = true, env = "FRESHET_URL")]
    pub(crate) url: Option<reqwest::Url>,
    /// A bearer token (better in `FRESHET_TOKEN`: a command's words show in the list of processes); without it, the
    /// admin credentials in the data directory
    #[arg(long, global = true, env = "FRESHET_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The tenant; without it, the file's, the token's, or the only one in the data directory
    #[arg(long, global = true, env = "FRESHET_TENANT")]
    pub(crate) tenant: Option<String>,
    /// The data directory of `freshet up`
    #[arg(long, global = true, env = "FRESHET_DATA", default_value = ".freshet")]
    pub(crate) data: PathBuf,
}

/// How results are shown.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole of Freshet in this process
    Up(Up),
    /// Send 69,659 real purchases through Freshet in a temporary directory, and check what comes out to the cent
    Demo(Demo),
    /// Make the resources be as a TOML file (or every .toml file of a directory) says; shows the plan first
    Apply(Apply),
    /// Print the resources that are there as a TOML file
    Export(Output),
    /// Send the records of a CSV, JSON or NDJSON file, or an XML document (also .gz), to a stream
    Send(Send),
    /// Propose a table's definition from a file's records, or from those that came to a stream
    Infer(Infer),
    /// Run one SELECT
    Sql(Sql),
    /// Show what every table holds and how fresh it is
    Status(Output),
    /// Show streams, and what came to them
    #[command(subcommand)]
    Streams(Streams),
    /// Show tables
    #[command(subcommand)]
    Tables(Shown),
    /// Show databases, and run them
    #[command(subcommand)]
    Databases(Databases),
    /// Show saved queries, and run them
    #[command(subcommand)]
    Queries(Queries),
    /// Show profile indexes, and refresh them
    #[command(subcommand)]
    Indexes(Indexes),
    /// Show activations, and run them
    #[command(subcommand)]
    Activations(Activations),
    /// Look a profile up by its id, or profiles by filters
    Profile(Profile),
    /// Show how runs of databases, indexes and activations went
    #[command(subcommand)]
    Runs(Runs),
    /// Put a table's files together, and remove what no version within the retention needs; works on the files themselves
    Maintain(Maintain),
    /// Make, show, rotate and revoke API keys
    #[command(subcommand)]
    Keys(Keys),
    /// Issue tokens
    #[command(subcommand)]
    Tokens(Tokens),
    /// Print a script that completes this command line in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Arguments of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "FRESHET_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Resource file, or directory of them, to apply before serving
    #[arg(long)]
    pub(crate) apply: Option<PathBuf>,
}

/// Arguments of `maintain`.
#[derive(Debug, Args)]
pub(crate) struct Maintain {
    /// The table's name
    pub(crate) table: String,
    /// How long a version stays readable after a newer one has come, as 12h or 7d
    #[arg(long, default_value = "7d")]
    pub(crate) retention: String,
    /// How to show what was done
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How to show the figures
    #[command(flatten)]
    pub(crate) output: Output,
    /// Stay up afterwards, until interrupted
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// TOML file, or directory of .toml files
    pub(crate) file: PathBuf,
    /// Don't ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print the plan only; exits with 2 where something would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete what is there and not in the file
    #[arg(long)]
    pub(crate) prune: bool,
    /// How to show the plan
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Arguments of `send`.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Name or id of the stream
    pub(crate) stream: String,
    /// The file: .csv, .json (an array of objects), .ndjson, .jsonl or .xml (one document), each also with .gz
    pub(crate) file: PathBuf,
    /// Records a request
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
    /// Requests at the same time; with 1, records arrive in the file's order, which matters to tables without `order_by`
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) parallel: u32,
    /// How to show what was sent
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Arguments of `infer`.
#[derive(Debug, Args)]
pub(crate) struct Infer {
    /// Name of a stream, or a file: .csv, .json, .ndjson, .jsonl or .xml, each also with .gz
    #[arg(value_name = "STREAM|FILE")]
    pub(crate) from: String,
    /// Propose a feed instead of a table
    #[arg(long)]
    pub(crate) feed: bool,
    /// Name of the table; without it, the stream's or the file's
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The database that the table is to show in
    #[arg(long)]
    pub(crate) database: Option<String>,
    /// Most records of a file that are looked at
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) records: u32,
    /// How to show it
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Arguments of `sql`.
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// One SELECT
    #[arg(value_name = "SQL")]
    pub(crate) select: String,
    /// The database; without it, the only one there is
    #[arg(long)]
    pub(crate) database: Option<String>,
    /// Most rows
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// How to show the rows
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What can be shown of a kind of resource.
#[derive(Debug, Subcommand)]
pub(crate) enum Shown {
    /// All of them
    List(Output),
    /// One of them
    Show {
        /// Its name
        name: String,
        /// How
        #[command(flatten)]
        output: Output,
    },
}

/// What can be shown of streams.
#[derive(Debug, Subcommand)]
pub(crate) enum Streams {
    /// Like any resource
    #[command(flatten)]
    Shown(Shown),
    /// The newest records that came to one, as they came
    Sample {
        /// Its name or its id
        stream: String,
        /// Most records
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// How to show them
        #[command(flatten)]
        output: Output,
    },
}

/// What can be done with databases.
#[derive(Debug, Subcommand)]
pub(crate) enum Databases {
    /// Like any resource
    #[command(flatten)]
    Shown(Shown),
    /// Make its tables anew that are made by SQL
    Run(Started),
}

/// What can be done with profile indexes.
#[derive(Debug, Subcommand)]
pub(crate) enum Indexes {
    /// Like any resource
    #[command(flatten)]
    Shown(Shown),
    /// Make its profiles anew
    Refresh(Started),
}

/// What can be done with activations.
#[derive(Debug, Subcommand)]
pub(crate) enum Activations {
    /// Like any resource
    #[command(flatten)]
    Shown(Shown),
    /// Send its query's result, or what has changed of it
    Run(Started),
}

/// Arguments of what starts a run.
#[derive(Debug, Args)]
pub(crate) struct Started {
    /// Its name
    pub(crate) name: String,
    /// Don't wait for its end
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How to show it
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What can be done with saved queries.
#[derive(Debug, Subcommand)]
pub(crate) enum Queries {
    /// Like any resource
    #[command(flatten)]
    Shown(Shown),
    /// Run one
    Run {
        /// Its name
        name: String,
        /// A parameter's value, as email=ada@example.com
        #[arg(long = "param", value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// Most rows
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// How to show the rows
        #[command(flatten)]
        output: Output,
    },
}

/// Arguments of `profile`.
#[derive(Debug, Args)]
pub(crate) struct Profile {
    /// Name or id of the index
    pub(crate) index: String,
    /// The profile's id
    #[arg(required_unless_present = "filters", conflicts_with = "filters")]
    pub(crate) id: Option<String>,
    /// A filter, as city=Oslo; several must all hold
    #[arg(long = "filter", value_name = "FIELD=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Most profiles found by filters
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
    /// How to show them
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What can be shown of runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// The newest
    List {
        /// Those of a kind only: databases, indexes, activations
        #[arg(long, requires = "name")]
        kind: Option<String>,
        /// Those of one resource only
        #[arg(long, requires = "kind")]
        name: Option<String>,
        /// Most runs
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// How to show them
        #[command(flatten)]
        output: Output,
    },
    /// One of them
    Show {
        /// Its id, as the list has it
        id: String,
        /// How
        #[command(flatten)]
        output: Output,
    },
}

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make one; its secret is shown this once
    Create {
        /// Its name
        name: String,
        /// What it may do: streams:write, tables:query, profiles:read, tokens:issue, admin
        #[arg(long = "scope", required = true)]
        scopes: Vec<String>,
        /// A stream that it may write to; without any, every stream
        #[arg(long = "stream")]
        streams: Vec<String>,
        /// A database that it may query and whose indexes it may read; without any, every database
        #[arg(long = "database")]
        databases: Vec<String>,
        /// A profile index that it may read; without any, every index
        #[arg(long = "index")]
        indexes: Vec<String>,
        /// How to show it
        #[command(flatten)]
        output: Output,
    },
    /// All of them
    List(Output),
    /// Give one a new secret; the one before stays valid for 30 days
    Rotate {
        /// Its name
        name: String,
        /// How to show it
        #[command(flatten)]
        output: Output,
    },
    /// Revoke one: its tokens are refused everywhere within 60 s
    Revoke {
        /// Its name
        name: String,
    },
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Issue one; it is shown this once
    Issue {
        /// Name of the API key
        key: String,
        /// For how long, as 15m, 12h or 30d
        #[arg(long, default_value = "1h")]
        expires_in: String,
        /// How to show it
        #[command(flatten)]
        output: Output,
    },
}
