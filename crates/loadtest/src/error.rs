//! What can go wrong with a run as a whole.

use std::io;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was asked in a way that can't work; the message says how to ask.
    #[error("{0}")]
    Usage(String),
    /// Something it relies on did not do its part.
    #[error("{0}")]
    Failed(String),
    /// A signal ended it before there was anything to tell.
    #[error("ended before anything was measured")]
    Interrupted,
    /// The machine refused something.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the machine said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: names what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
