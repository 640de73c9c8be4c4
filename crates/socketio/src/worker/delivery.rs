//! A broadcast on its way to the workers, and the count of those whom it asks for an acknowledgement.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    Offset,
    adapter::{AckEvent, Target},
    sync::Mutex,
};

/// A message for sockets of one namespace, encoded.
pub(crate) struct Delivery {
    pub(crate) namespace: Option<usize>,
    pub(crate) frames: Bytes,
    pub(crate) target: Target,
    pub(crate) volatile: bool,
    pub(crate) offset: Option<Offset>,
    /// For a socket that recovers: it is no news once what it missed has been sent up to here. One that is not stored has
    /// none, or one right after the stored event that went before it.
    pub(crate) stands_at: Option<Offset>,
    pub(crate) acks: Option<AckRequest>,
}

/// A broadcast that asks for acknowledgements.
pub(crate) struct AckRequest {
    pub(crate) id: u64,
    pub(crate) expires: Instant,
    pub(crate) to: mpsc::UnboundedSender<AckEvent>,
    pub(crate) found: Arc<Tally>,
}

/// Adds up over the workers.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    sockets: usize,
    /// Below zero while workers are done that have not been counted in yet.
    workers_to_come: isize,
}

impl Tally {
    /// As many workers will look.
    pub(crate) fn expect(&self, workers: usize, to: &mpsc::UnboundedSender<AckEvent>) {
        self.change(workers as isize, 0, to);
    }

    pub(super) fn change(&self, workers: isize, sockets: usize, to: &mpsc::UnboundedSender<AckEvent>) {
        let mut counts = self.0.lock();
        counts.workers_to_come += workers;
        counts.sockets += sockets;
        if counts.workers_to_come == 0 {
            // Who asked may have stopped waiting.
            let _ = to.send(AckEvent::Clients(counts.sockets));
        }
    }
}
