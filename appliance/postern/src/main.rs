//! Postern: one executable. As PID 1 it is the appliance; otherwise the command line.

mod cli;
mod roles;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        gateway::prepare();
        boot::appliance::run(roles::ROLES)
    }
    cli::run()
}
