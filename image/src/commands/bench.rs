use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::build::build_image;
use crate::program::Program;
use crate::workspace::{Scratch, Workspace};
use crate::{Doing, Error, Result, debian, executable};

#[derive(Debug, Args)]
pub struct Bench {
    /// Only this one.
    name: Option<String>,
    /// Write the figures of all that ran to this file, as one JSON object by name.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Bench {
    pub(super) fn execute(self, workspace: &Workspace) -> Result<()> {
        let wanted = |benchmark: &&Benchmark| self.name.as_ref().is_none_or(|name| name == benchmark.name);
        let chosen: Vec<&Benchmark> = BENCHMARKS.iter().filter(wanted).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = BENCHMARKS.iter().map(|benchmark| benchmark.name).collect();
            return Err(Error::Usage(format!("there is no such benchmark; there are: {}", names.join(", "))));
        }
        let scratch = Scratch::new("bench")?;
        let (mut figures, mut failed) = (Map::new(), Vec::new());
        for benchmark in chosen {
            println!("{}:", benchmark.name);
            match benchmark.run(workspace, &scratch.path().join(benchmark.name)) {
                Ok(value) => drop(figures.insert(benchmark.name.to_owned(), value)),
                Err(error) => {
                    eprintln!("{error}");
                    failed.push(benchmark.name.to_owned());
                }
            }
        }
        if let Some(file) = self.json {
            fs::write(&file, format!("{:#}\n", Value::Object(figures)))
                .doing(|| format!("write {}", file.display()))?;
        }
        if failed.is_empty() { Ok(()) } else { Err(Error::Failed(failed)) }
    }
}

/// A program that measures. It is a cargo example, built for release; it prints figures for people, and
/// given `--json FILE` writes them there as one JSON value.
struct Benchmark {
    name: &'static str,
    package: &'static str,
    example: &'static str,
    arguments: &'static [&'static str],
    /// It is given the static executable's file as `POSTERN_EXECUTABLE`.
    executable: bool,
    /// It is given the built image's folder as `POSTERN_IMAGE`.
    image: bool,
    /// Debian's packages that it needs.
    packages: &'static [&'static str],
}

/// All of them.
const BENCHMARKS: &[Benchmark] = &[
    hosted("mail", &["mail"]),
    hosted("connections", &["connections"]),
    hosted("idle", &["idle"]),
    Benchmark { packages: debian::NAMESPACES, ..alone("net", "net", "bench") },
    alone("store", "store", "bench"),
    alone("smtp", "smtp", "throughput"),
    alone("recipients", "gateway", "recipients"),
    alone("graph", "gateway", "graph"),
    Benchmark { packages: debian::DIRECTORY, ..alone("ldap", "gateway", "ldap") },
    Benchmark { image: true, packages: debian::QEMU, ..alone("boot", "qemu-tests", "boot") },
];

/// One that measures the executable from outside, with Postfix beside it.
const fn hosted(name: &'static str, arguments: &'static [&'static str]) -> Benchmark {
    Benchmark { arguments, executable: true, ..alone(name, "postern", "hosted") }
}

/// One that needs nothing but its crate.
const fn alone(name: &'static str, package: &'static str, example: &'static str) -> Benchmark {
    Benchmark { name, package, example, arguments: &[], executable: false, image: false, packages: &[] }
}

impl Benchmark {
    fn run(&self, workspace: &Workspace, json: &Path) -> Result<Value> {
        if self.executable {
            debian::peers()?;
        }
        debian::install(self.packages)?;
        let mut program = Program::new("cargo", "run a benchmark").dir(&workspace.root);
        if self.image {
            build_image(workspace)?;
            program = program.env("POSTERN_IMAGE", workspace.results());
        }
        if self.executable {
            program = program.env("POSTERN_EXECUTABLE", executable::build(workspace)?);
        }
        program
            .args(["run", "--quiet", "--release", "--locked", "--package", self.package])
            .args(["--example", self.example, "--"])
            .args(self.arguments)
            .arg("--json")
            .arg(json)
            .run()?;
        let text = fs::read(json).doing(|| format!("read {}", json.display()))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::Usage(format!("{}: its figures are not JSON: {error}", self.name)))
    }
}
