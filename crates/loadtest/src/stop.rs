//! The wish that it should end.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::progress::say;

/// A token that is cancelled by Ctrl-C, SIGTERM or SIGHUP. What is measured so far is still reported then.
///
/// A second Ctrl-C changes nothing: ending what was started takes seconds, and nothing is left behind.
///
/// # Errors
/// When signals can't be listened to.
pub fn on_signal() -> Result<CancellationToken, Error> {
    let listen = |kind| signal(kind).map_err(Error::io("signals can't be listened to"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        say("\nending; what is measured so far follows");
        cancel.cancel();
    });
    Ok(stop)
}
