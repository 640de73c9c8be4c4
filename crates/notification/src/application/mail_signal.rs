//! Wakes the delivery of emails.

use tokio::sync::Notify;

/// Rung when an email was queued, so that it is sent at once; a ring that nobody waits for is kept.
#[derive(Debug, Default)]
pub struct MailSignal(Notify);

impl MailSignal {
    /// Says that an email was queued.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits until it was rung since the last wait.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}
