use std::fs;
use std::path::Path;
use std::time::Instant;

use clap::Args;

use super::build::build_image;
use crate::program::Program;
use crate::workspace::Workspace;
use crate::{Error, Result, debian, tools};

#[derive(Debug, Args)]
pub struct Test {
    /// Only a part (format, lint, dependencies, crates, image), or one crate by name.
    name: Option<String>,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

impl Test {
    pub(super) fn execute(self, workspace: &Workspace) -> Result<()> {
        let wanted = self.name.as_deref().unwrap_or("all");
        let parts: Vec<&Part> = PARTS.iter().filter(|part| wanted == "all" || part.name == wanted).collect();
        let mut run =
            TestRun { workspace: workspace.clone(), filter: self.filter.clone(), summary: Vec::new() };
        let (mut failed, mut outcomes) = (Vec::new(), Vec::new());
        let mut record = |name: &str, started: Instant, result: Result<()>| {
            let seconds = started.elapsed().as_secs();
            if let Err(error) = &result {
                eprintln!("{name}: {error}");
                failed.push(name.to_owned());
            }
            outcomes
                .push(format!("{} {name} ({seconds} s)", if result.is_ok() { "ok    " } else { "FAILED" }));
        };
        for part in &parts {
            println!("== {}: {}", part.name, part.what);
            let started = Instant::now();
            record(part.name, started, (part.run)(&mut run));
        }
        if parts.is_empty() {
            record(wanted, Instant::now(), run.one_crate(wanted));
        }
        println!("\n== summary");
        run.summary.iter().chain(&outcomes).for_each(|line| println!("{line}"));
        if failed.is_empty() { Ok(()) } else { Err(Error::Failed(failed)) }
    }
}

struct Part {
    name: &'static str,
    what: &'static str,
    run: fn(&mut TestRun) -> Result<()>,
}

/// All parts, those that fail soonest first.
const PARTS: &[Part] = &[
    Part { name: "format", what: "cargo fmt --check", run: TestRun::format },
    Part { name: "lint", what: "cargo clippy, no warnings", run: TestRun::lint },
    Part {
        name: "dependencies",
        what: "licences, sources, doubled crates, advisories",
        run: TestRun::dependencies,
    },
    Part { name: "crates", what: "every crate's own tests", run: TestRun::crates },
    Part { name: "image", what: "the image in QEMU with real peers", run: TestRun::image },
];

struct TestRun {
    workspace: Workspace,
    filter: Option<String>,
    /// The test runner's own lines on how many passed.
    summary: Vec<String>,
}

impl TestRun {
    fn format(&mut self) -> Result<()> {
        self.cargo("check the format").args(["fmt", "--all", "--check"]).run()
    }

    fn lint(&mut self) -> Result<()> {
        debian::install(debian::BUILD)?;
        self.cargo("lint")
            .args(["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])
            .run()
    }

    fn dependencies(&mut self) -> Result<()> {
        debian::install(debian::BUILD)?;
        let deny = tools::CARGO_DENY.installed()?;
        self.deny(&deny).args(["check", "licenses", "bans", "sources"]).run()?;
        if self.deny(&deny).args(["fetch", "db"]).output().is_err() {
            // Not a fault of the change under test: the machine has no way to the database.
            println!("advisories: NOT CHECKED, the database cannot be fetched from here");
            return Ok(());
        }
        self.deny(&deny).args(["check", "--disable-fetch", "advisories"]).run()
    }

    fn crates(&mut self) -> Result<()> {
        debian::install(debian::BUILD)?;
        debian::install(debian::ATTACKERS)?;
        let tests = self
            .cargo("run the crates' tests")
            .args(["test", "--locked", "--workspace"])
            .env("POSTERN_PEERS", debian::peers()?)
            .without_env("POSTERN_IMAGE");
        self.watched(tests)
    }

    fn image(&mut self) -> Result<()> {
        debian::install(debian::QEMU)?;
        debian::peers()?;
        build_image(&self.workspace)?;
        let tests = self
            .cargo("run the image's tests")
            .args(["test", "--locked", "--package", "qemu-tests"])
            .env("POSTERN_IMAGE", self.workspace.results());
        self.watched(tests)
    }

    fn one_crate(&mut self, name: &str) -> Result<()> {
        if !members(&self.workspace.root).iter().any(|member| member == name) {
            let parts: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            let text = format!("no part and no crate is called {name:?}; the parts are {}", parts.join(", "));
            return Err(Error::Usage(text));
        }
        debian::install(debian::BUILD)?;
        debian::install(debian::ATTACKERS)?;
        let tests = self
            .cargo("run the crate's tests")
            .args(["test", "--locked", "--package", name])
            .env("POSTERN_PEERS", debian::peers()?);
        self.watched(tests)
    }

    fn watched(&mut self, program: Program) -> Result<()> {
        // Every binary is run, so that one that fails does not hide another's result.
        let program = program.arg("--no-fail-fast");
        let program = match &self.filter {
            Some(filter) => program.args(["--", filter]),
            None => program,
        };
        let mut running = String::new();
        let summary = &mut self.summary;
        program.run_watched(|line| {
            let line = line.trim();
            if line.starts_with("Running ") || line.starts_with("Doc-tests ") {
                running = line.to_owned();
            } else if line.starts_with("test result: ") && !line.contains(" 0 passed; 0 failed; 0 ignored;") {
                summary.push(format!("{running}\n  {line}"));
            }
        })
    }

    fn cargo(&self, doing: &str) -> Program {
        Program::new("cargo", doing).dir(&self.workspace.root)
    }

    fn deny(&self, deny: &Path) -> Program {
        Program::new(&deny.display().to_string(), "check the dependencies").dir(&self.workspace.root)
    }
}

/// The crates' names: folders of the root and of `appliance` that hold a `Cargo.toml`.
fn members(root: &Path) -> Vec<String> {
    [root.to_owned(), root.join("appliance")]
        .iter()
        .filter_map(|parent| fs::read_dir(parent).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_found() {
        let members = members(&Workspace::of_this_clone().unwrap().root);
        assert!(members.contains(&"smtp".to_owned()) && members.contains(&"image".to_owned()), "{members:?}");
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let workspace = Workspace::of_this_clone().unwrap();
        let mut run = TestRun { workspace, filter: None, summary: Vec::new() };
        let error = run.one_crate("no-such-crate").unwrap_err().to_string();
        assert!(error.contains("format, lint, dependencies, crates, image"), "{error}");
    }
}
