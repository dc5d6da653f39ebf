//! The static executable: PID 1 of the image, and the same program for any Linux.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::program::Program;
use crate::workspace::Workspace;

/// Compiles the package `postern`, and returns where the executable is.
///
/// It is linked statically and position-independent, with its relocations read-only, and holds no path of
/// this machine: the same source gives the same bytes in another folder.
///
/// # Errors
/// When it does not compile.
pub fn build(workspace: &Workspace) -> Result<PathBuf> {
    let paths = [
        (workspace.target.clone(), "/target"),
        (workspace.root.clone(), "/postern"),
        (cargo_home(), "/cargo"),
    ];
    Program::new("cargo", "compile the executable")
        .args(["build", "--release", "--locked", "--package", "postern", "--target", TARGET])
        .arg("--target-dir")
        .arg(&workspace.target)
        .dir(&workspace.root)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&paths))
        // For the C of cryptography, whose assertions name their file.
        .env("CFLAGS_x86_64_unknown_linux_gnu", c_flags(&paths))
        .env("SOURCE_DATE_EPOCH", workspace.epoch.to_string())
        .without_env("RUSTFLAGS")
        .run()?;
    Ok(workspace.target.join(TARGET).join("release/postern"))
}

fn rust_flags(paths: &[(PathBuf, &str)]) -> OsString {
    let mut flags: Vec<OsString> = [
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=pic",
        "-Clink-arg=-Wl,-z,relro,-z,now,-z,noexecstack",
        // The identifier is a hash over the inputs' paths.
        "-Clink-arg=-Wl,--build-id=none",
    ]
    .map(OsString::from)
    .into();
    // rustc takes the last that matches: the target folder is within the clone, so it comes after.
    for (from, to) in paths.iter().rev() {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    }
    flags.join(&OsString::from("\x1f"))
}

fn c_flags(paths: &[(PathBuf, &str)]) -> OsString {
    // gcc too takes the last option that matches.
    let flags: Vec<OsString> = paths
        .iter()
        .rev()
        .map(|(from, to)| {
            let mut flag = OsString::from("-ffile-prefix-map=");
            flag.push(from);
            flag.push("=");
            flag.push(to);
            flag
        })
        .collect();
    flags.join(&OsString::from(" "))
}

fn cargo_home() -> PathBuf {
    let home = || Path::new(&env::var_os("HOME").unwrap_or_default()).join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// The only processor that the kernel's fragment is for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
