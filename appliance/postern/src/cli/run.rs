//! `postern run`: the appliance on a TAP device and a file.

use std::{
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use config_schema::value::ByteSize;

use super::refused;
use crate::roles::ROLES;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The TAP device; made if it does not exist.
    #[arg(long, value_name = "NAME")]
    tap: String,
    /// The file that holds everything; made if it does not exist.
    #[arg(long, value_name = "FILE")]
    disk: PathBuf,
    /// Size of a new file, such as `4GB`.
    #[arg(long, value_name = "SIZE")]
    size: Option<ByteSize>,
    /// A configuration file; imported when it differs from the one imported last.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let socket = control_socket(&arguments.disk);
    let admin = match bind(&socket) {
        Ok(listener) => listener,
        Err(error) => return refused(format_args!("{}: {error}", socket.display())),
    };
    let options = boot::hosted::Options {
        tap: arguments.tap,
        disk: arguments.disk,
        size: arguments.size.map(ByteSize::bytes),
        config: arguments.config,
        admin: Some(admin),
        roles: ROLES,
    };
    gateway::prepare();
    let result = boot::hosted::run(options);
    // Whoever starts next makes its own; an error here changes nothing for it.
    let _ = std::fs::remove_file(&socket);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refused(error),
    }
}

/// Where a hosted appliance listens for `postern ctl`: beside its disk.
pub(crate) fn control_socket(disk: &Path) -> PathBuf {
    let mut name = disk.as_os_str().to_owned();
    name.push(".ctl");
    PathBuf::from(name)
}

fn bind(path: &Path) -> std::io::Result<UnixListener> {
    // One left by an appliance that was killed: nobody answers on it.
    if std::os::unix::net::UnixStream::connect(path).is_err() {
        let _ = std::fs::remove_file(path);
    }
    let listener = UnixListener::bind(path)?;
    // Who may write the disk may administer it, nobody else.
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(listener)
}
