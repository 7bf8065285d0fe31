//! Freshet's command line. `freshet up` runs every function in one process; the other commands are clients of its HTTP API.
//!
//! Results go to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 wrong use (or, for a dry
//! run, changes).

mod args;
mod client;
mod commands;
mod credentials;
mod demo;
mod error;
mod listen;
mod output;
mod query;
mod sender;
mod server;
mod source;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Activations, Arguments, Command, Databases, Indexes, Queries, Streams};
use crate::error::CommandError;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(code) => code,
        Err(error) => {
            output::note(format!("error: {error}"));
            ExitCode::from(error.exit_status())
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let connection = &arguments.connection;
    match &arguments.command {
        Command::Up(up) => commands::up::run(connection, up).await?,
        Command::Demo(demo) => demo::run(demo).await?,
        Command::Apply(apply) => return commands::apply::run(connection, apply).await,
        Command::Export(output) => commands::apply::export(connection, *output).await?,
        Command::Send(send) => commands::send::run(connection, send).await?,
        Command::Infer(infer) => commands::infer::run(connection, infer).await?,
        Command::Sql(sql) => commands::sql::run(connection, sql).await?,
        Command::Status(output) => commands::show::status(connection, *output).await?,
        Command::Streams(Streams::Shown(shown)) => commands::show::resources(connection, "streams", shown).await?,
        Command::Streams(Streams::Sample { stream, limit, output }) => {
            commands::sample::run(connection, stream, *limit, *output).await?;
        }
        Command::Tables(shown) => commands::show::resources(connection, "tables", shown).await?,
        Command::Databases(Databases::Shown(shown)) => {
            commands::show::resources(connection, "databases", shown).await?;
        }
        Command::Databases(Databases::Run(started)) => commands::runs::start(connection, "databases", started).await?,
        Command::Queries(Queries::Shown(shown)) => commands::show::resources(connection, "queries", shown).await?,
        Command::Queries(Queries::Run { name, parameters, limit, output }) => {
            commands::sql::run_saved(connection, name, parameters, *limit, *output).await?;
        }
        Command::Indexes(Indexes::Shown(shown)) => commands::show::resources(connection, "indexes", shown).await?,
        Command::Indexes(Indexes::Refresh(started)) => commands::runs::start(connection, "indexes", started).await?,
        Command::Activations(Activations::Shown(shown)) => {
            commands::show::resources(connection, "activations", shown).await?;
        }
        Command::Activations(Activations::Run(started)) => {
            commands::runs::start(connection, "activations", started).await?;
        }
        Command::Profile(profile) => commands::profile::run(connection, profile).await?,
        Command::Runs(runs) => commands::runs::show(connection, runs).await?,
        Command::Maintain(maintain) => commands::maintain::run(connection, maintain).await?,
        Command::Keys(keys) => commands::keys::run(connection, keys).await?,
        Command::Tokens(tokens) => commands::keys::tokens(connection, tokens).await?,
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Arguments::command(), "freshet", &mut std::io::stdout());
        }
    }
    Ok(ExitCode::SUCCESS)
}
