//! Cargo's further tools, compiled once into the cache: nothing that a person installed is relied on.

use std::path::PathBuf;

use crate::Result;
use crate::cache::Entry;
use crate::program::Program;

/// A tool of the registry, in one version.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    package: &'static str,
    version: &'static str,
}

/// Checks licences, advisories, sources and doubled crates.
pub const CARGO_DENY: Tool = Tool { package: "cargo-deny", version: "0.20.2" };

/// Runs fuzz targets.
pub const CARGO_FUZZ: Tool = Tool { package: "cargo-fuzz", version: "0.13.2" };

impl Tool {
    /// Where its executable is, after compiling it if need be.
    ///
    /// # Errors
    /// When the registry or the compiler fails.
    pub fn installed(&self) -> Result<PathBuf> {
        let entry = Entry::take("tools", &format!("{}-{}", self.package, self.version))?;
        if !entry.is_complete() {
            println!("Installing {} {}", self.package, self.version);
            entry.clear()?;
            Program::new("cargo", "install a tool")
                .args(["install", "--quiet", "--locked", self.package, "--version", self.version, "--root"])
                .arg(entry.folder())
                // Beside the result, so that the clone's own folder stays what it is.
                .env("CARGO_TARGET_DIR", entry.folder().join("target"))
                .without_env("RUSTFLAGS")
                .dir(entry.folder())
                .run()?;
            entry.discard("target")?;
            entry.complete()?;
        }
        Ok(entry.folder().join("bin").join(self.package))
    }
}
