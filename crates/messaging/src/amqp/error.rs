//! What can go wrong between Souk and the broker.

use crate::bus::BusError;

/// Why the broker could not be used. Stays inside the adapter; the port knows [`BusError`].
#[derive(Debug, thiserror::Error)]
pub(super) enum AmqpError {
    /// There is no connection right now.
    #[error("not connected to the broker: {0}")]
    Away(String),
    /// The driver or the broker said no.
    #[error("{doing} failed")]
    Broker {
        doing: &'static str,
        #[source]
        cause: lapin::Error,
    },
    /// The broker took too long.
    #[error("{0} took too long")]
    TimedOut(&'static str),
    /// A publish was not taken.
    #[error("the broker refused a message for {0}")]
    NotTaken(String),
    /// The delivery's connection is gone: the broker delivers it again.
    #[error("the connection of the delivery is lost; it will come again")]
    DeliveryLost,
    /// A name that AMQP has no room for (255 bytes, §4.2.5.3).
    #[error("'{0}' is too long for AMQP")]
    TooLong(String),
    /// Another instance holds the lock on the bindings.
    #[error("the bindings of {0} are being changed by another instance")]
    Locked(String),
}

impl AmqpError {
    /// Whether trying again with the same arguments can't help: a queue of other arguments, no permission.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Broker { cause, .. } => cause.is_amqp_soft_error(),
            Self::TooLong(_) => true,
            Self::Away(_) | Self::TimedOut(_) | Self::NotTaken(_) | Self::DeliveryLost | Self::Locked(_) => false,
        }
    }
}

impl From<AmqpError> for BusError {
    fn from(error: AmqpError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// Says what was being done when the driver failed.
pub(super) fn failed(doing: &'static str) -> impl FnOnce(lapin::Error) -> AmqpError {
    move |cause| AmqpError::Broker { doing, cause }
}
