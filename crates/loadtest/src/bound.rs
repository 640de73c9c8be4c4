//! Starts a program that does not outlive this one, however this one ends.

use std::io;
use std::path::Path;
use std::process::Command;

/// Name of the hidden command that [`command`] starts and that calls [`become_bound`].
pub const COMMAND: &str = "run-bound";

/// A command that runs `program` by way of this binary, which asks the kernel to kill it when its parent is gone and then
/// becomes it: the process id stays, and so do its arguments and its environment.
///
/// The kernel counts the thread that starts it as the parent; start it from one that lives as long as the process.
///
/// # Errors
/// When this binary can't be found.
pub fn command(program: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(COMMAND).arg(std::process::id().to_string()).arg(program);
    Ok(command)
}

/// Becomes `program`. Returns only if that fails.
pub fn become_bound(parent: u32, program: &Path, arguments: &[std::ffi::OsString]) -> io::Error {
    use std::os::unix::process::CommandExt as _;
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        return error.into();
    }
    // It may have ended before the kernel was asked.
    if std::os::unix::process::parent_id() != parent {
        return io::Error::other("the process that started it is gone");
    }
    Command::new(program).args(arguments).exec()
}
