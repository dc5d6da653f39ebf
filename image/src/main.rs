//! `cargo postern …`: the developers' commands.

use std::process::ExitCode;

use clap::Parser;
use image::commands::Command;

#[derive(Debug, Parser)]
#[command(
    name = "cargo postern",
    bin_name = "cargo postern",
    about = "Builds, boots, tests and measures Postern"
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match CommandLine::parse().command.execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
