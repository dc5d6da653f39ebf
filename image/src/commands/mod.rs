//! The commands, one file each.

mod bench;
mod build;
mod fuzz;
mod run;
mod test;

use clap::Subcommand;

use crate::Result;
use crate::workspace::Workspace;
pub use build::{Format, Results, build_image};

/// What `cargo postern` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the static executable, the boot file and the disk image into target/image.
    Build(build::Build),
    /// Build and boot in QEMU: port 25 on 127.0.0.1:2525, 443 on 127.0.0.1:8443.
    Run(run::Run),
    /// Install what is missing and run every test, or a part.
    Test(test::Test),
    /// Measure, and print figures beside peers.
    Bench(bench::Bench),
    /// Run every fuzz target.
    Fuzz(fuzz::Fuzz),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// When it could not be done; for tests, when one failed.
    pub fn execute(self) -> Result<()> {
        let workspace = Workspace::of_this_clone()?;
        match self {
            Command::Build(build) => build.execute(&workspace),
            Command::Run(run) => run.execute(&workspace),
            Command::Test(test) => test.execute(&workspace),
            Command::Bench(bench) => bench.execute(&workspace),
            Command::Fuzz(fuzz) => fuzz.execute(&workspace),
        }
    }
}
