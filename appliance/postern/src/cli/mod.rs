//! The command line. A file a command; exit codes: 0 done, 1 refused, 2 usage.

mod config;
mod ctl;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A mail gateway that is one bootable file.
#[derive(Debug, Parser)]
#[command(name = "postern", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the appliance here, on a TAP device and a file.
    ///
    /// Ready when it prints `ready`; stops cleanly on SIGTERM.
    #[command(after_help = "Example:\n  postern run --tap tap0 --disk postern.disk --config postern.toml")]
    Run(run::Arguments),
    /// Check, describe or move a configuration; needs no running appliance.
    #[command(subcommand)]
    Config(config::Command),
    /// Ask a running appliance to do something.
    #[command(after_help = "Example:\n  postern ctl --disk postern.disk queue list")]
    Ctl(ctl::Arguments),
    /// Search the event log of a running appliance.
    #[command(after_help = "Example:\n  postern log --disk postern.disk user@example.com")]
    Log(ctl::LogArguments),
}

pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => run::run(arguments),
        Command::Config(command) => config::run(command),
        Command::Ctl(arguments) => ctl::run(arguments),
        Command::Log(arguments) => ctl::run(arguments.into()),
    }
}

/// Prints why something was refused, for people, and gives the exit code for it.
fn refused(why: impl std::fmt::Display) -> ExitCode {
    eprintln!("postern: {why}");
    ExitCode::from(1)
}
