//! Queued emails are sent, each on its own: one that fails holds no other up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use contracts::Clock;
use contracts::ids::NotificationId;
use futures::StreamExt as _;
use futures::future::{Fuse, FusedFuture as _, FutureExt as _};
use observability::logs::error_chain;
use observability::trace::{KeyValue, Span, SpanKind};
use service_kit::grpc::deadline;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::application::metrics::EMAILS;
use crate::application::ports::{
    ContactRepository, DirectoryError, EmailQueue, MailError, Mailer, OutgoingEmail, RepositoryError, UserDirectory,
};
use crate::application::{Cause, MailSignal};
use crate::domain::contact::Contact;
use crate::domain::email::{AfterFailure, QueuedEmail};

/// Most emails taken from the queue at once; all of them are in work at once, so that none waits while its lease runs.
const BATCH: u32 = 16;
/// How long a claimed email is left to who claimed it. Longer than an attempt takes ([`DIRECTORY_TIMEOUT`], [`SEND_TIMEOUT`]);
/// what a replica that died had claimed is sent by another one after this time.
pub const LEASE: Duration = Duration::from_mins(1);
/// From one look at the queue to the next at the least: what is queued meanwhile is taken together. Emails are not in that hurry, and
/// pushes, which are, want the same store.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest wait for an email to be sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the users service, so that it can't hold up those whose address is known.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(2);
/// Looks at the queue this often even if nobody rang.
const IDLE_POLL: Duration = Duration::from_mins(1);
/// Wait after the store failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Why one attempt failed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("there is no such user")]
    NoSuchUser,
    #[error("the address could not be found out")]
    Directory(#[source] DirectoryError),
    #[error("the answer of the users service is older than what it told before")]
    Outdated,
    #[error("the email was not sent")]
    Mail(#[source] MailError),
    #[error("the address could not be read")]
    Store(#[source] RepositoryError),
}

impl AttemptError {
    fn is_final(&self) -> bool {
        match self {
            Self::NoSuchUser | Self::Mail(MailError::Refused(_)) => true,
            Self::Directory(_) | Self::Outdated | Self::Mail(MailError::Unavailable(_)) | Self::Store(_) => false,
        }
    }
}

/// What came of an attempt.
enum Outcome {
    /// It has to be marked so.
    Sent(NotificationId),
    /// That is kept.
    NotSent,
}

/// The use case.
pub struct DeliverEmails {
    /// What waits.
    pub queue: Arc<dyn EmailQueue>,
    /// Addresses that were asked for before and have not changed.
    pub contacts: Arc<dyn ContactRepository>,
    /// All others.
    pub directory: Arc<dyn UserDirectory>,
    /// Sends.
    pub mailer: Arc<dyn Mailer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Rung when an email was queued.
    pub signal: Arc<MailSignal>,
}

impl DeliverEmails {
    /// Tries every email that is due, once, and says how many that were. Several replicas may do so at once: each email is
    /// tried by one of them.
    ///
    /// # Errors
    /// When the store failed; an email that was sent and could not be marked so is sent again, [`LEASE`] later.
    pub async fn deliver_due(&self) -> Result<usize, RepositoryError> {
        let now = self.clock.now();
        let due = self.queue.claim_due(now, now.plus(LEASE), BATCH).await?;
        let tried = due.len();
        let mut attempts = futures::stream::iter(due.into_iter().map(|email| {
            let context =
                Cause { request_id: email.request_id.clone(), traceparent: email.traceparent.clone() }.context();
            async move {
                let span = context.child(SpanKind::Internal, "email.send", || {
                    vec![KeyValue::new("notification.id", email.notification_id.to_string())]
                });
                let context = span.as_ref().map_or(&context, Span::context);
                context.clone().scope(self.deliver(email, span.as_ref())).await
            }
        }))
        .buffer_unordered(BATCH as usize);
        let mark = |ids: Vec<NotificationId>| async move { self.queue.mark_sent(&ids, self.clock.now()).await };
        let mut marking = pin!(Fuse::terminated());
        let (mut result, mut sent) = (Ok(tried), Vec::new());
        // All of them are brought to their end, also after the store failed for one. What is sent is marked beside the others: those
        // that are sent meanwhile are marked together.
        loop {
            if marking.is_terminated() && !sent.is_empty() {
                marking.set(mark(std::mem::take(&mut sent)).fuse());
            }
            let done = tokio::select! {
                Some(attempt) = attempts.next() => attempt.map(|outcome| match outcome {
                    Outcome::Sent(id) => sent.push(id),
                    Outcome::NotSent => {}
                }),
                marked = &mut marking, if !marking.is_terminated() => marked,
                else => return result,
            };
            if let Err(error) = done {
                result = Err(error);
            }
        }
    }

    /// Delivers until `stop` is cancelled: at once when an email is queued, and when the next attempt is due.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let wait = match self.deliver_due().await {
                Ok(tried) if tried < BATCH as usize => self.until_next().await,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(error = %error_chain(&error), "the queue of emails failed, trying again");
                    let _ = tokio::time::timeout(STORE_RETRY, stop.cancelled()).await;
                    continue;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.signal.rung() => {}
                () = tokio::time::sleep(wait) => {}
            }
            let _ = tokio::time::timeout_at(begun + PAUSE, stop.cancelled()).await;
        }
    }

    async fn until_next(&self) -> Duration {
        match self.queue.next_due().await {
            // A millisecond at least: the clock may show the due moment only just not yet.
            Ok(Some(due)) => due.since(self.clock.now()).clamp(Duration::from_millis(1), IDLE_POLL),
            Ok(None) => IDLE_POLL,
            Err(_) => STORE_RETRY,
        }
    }

    async fn deliver(&self, email: QueuedEmail, span: Option<&Span>) -> Result<Outcome, RepositoryError> {
        let id = email.notification_id;
        let Err(error) = self.attempt(&email).await else {
            EMAILS.with_label_values(&["sent"]).inc();
            tracing::info!(notification.id = %id, "email sent");
            return Ok(Outcome::Sent(id));
        };
        if let Some(span) = span {
            span.fail(if error.is_final() { "refused" } else { "unavailable" }, &error_chain(&error));
        }
        let now = self.clock.now();
        let next = if error.is_final() { AfterFailure::GiveUp } else { email.after_failure(now) };
        let (failures, chain) = (email.failures.saturating_add(1), error_chain(&error));
        match next {
            AfterFailure::RetryAt(next_attempt_at) => {
                EMAILS.with_label_values(&["failed"]).inc();
                tracing::warn!(notification.id = %id, failures, next = %next_attempt_at, error = %chain, "email not sent, trying again later");
                self.queue.mark_failed(id, next_attempt_at).await?;
            }
            AfterFailure::GiveUp => {
                EMAILS.with_label_values(&["given_up"]).inc();
                tracing::error!(notification.id = %id, failures, error = %chain, "email given up");
                self.queue.mark_given_up(id).await?;
            }
        }
        Ok(Outcome::NotSent)
    }

    async fn attempt(&self, email: &QueuedEmail) -> Result<(), AttemptError> {
        let contact = self.contact_of(email).await?;
        let outgoing = OutgoingEmail {
            id: email.notification_id,
            content: email.content.greeting(&contact.name, &email.subject),
            to: contact,
            subject: email.subject.clone(),
            created_at: email.created_at,
        };
        let sending = tokio::time::timeout(SEND_TIMEOUT, self.mailer.send(outgoing)).await;
        let sent = sending.unwrap_or_else(|elapsed| Err(MailError::Unavailable(Box::new(elapsed))));
        sent.map_err(AttemptError::Mail)
    }

    async fn contact_of(&self, email: &QueuedEmail) -> Result<Contact, AttemptError> {
        if let Some(contact) = self.contacts.find_contact(email.user_id).await.map_err(AttemptError::Store)? {
            return Ok(contact);
        }
        let question = deadline::within(DIRECTORY_TIMEOUT, self.directory.find_user(email.user_id));
        // The deadline travels with the call; the time-out also holds while the connection is being made.
        let found = tokio::time::timeout(DIRECTORY_TIMEOUT, question)
            .await
            .unwrap_or_else(|elapsed| Err(DirectoryError(Box::new(elapsed))));
        let contact = found.map_err(AttemptError::Directory)?.ok_or(AttemptError::NoSuchUser)?;
        // The user may have changed after the answer was given, or it came from a replica that is behind: then it may name an
        // address that is the user's no more.
        let newest = self.contacts.save_contact(contact.clone()).await.map_err(AttemptError::Store)?;
        if newest { Ok(contact) } else { Err(AttemptError::Outdated) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use contracts::Timestamp;
    use contracts::ids::UserId;
    use contracts::timestamp::ManualClock;
    use tokio::sync::Semaphore;
    use uuid::Uuid;

    use super::*;
    use crate::domain::email_content::EmailContent;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

    /// Everything that is needed, with a store of one connection.
    struct Scarce {
        connection: Semaphore,
        marked: Mutex<Vec<NotificationId>>,
    }

    impl Scarce {
        async fn use_connection(&self) {
            let _used = self.connection.acquire().await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    fn id(number: u128) -> NotificationId {
        NotificationId::from_uuid(Uuid::from_u128(number))
    }

    #[async_trait]
    impl EmailQueue for Scarce {
        async fn claim_due(&self, _: Timestamp, _: Timestamp, _: u32) -> Result<Vec<QueuedEmail>, RepositoryError> {
            let email = |number| QueuedEmail {
                notification_id: id(number),
                user_id: UserId::from_uuid(Uuid::from_u128(number)),
                subject: "Hello".to_owned(),
                content: EmailContent { text: String::new(), html: None },
                request_id: None,
                traceparent: None,
                created_at: NOW,
                failures: 0,
            };
            Ok((0..4).map(email).collect())
        }
        async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
            Ok(None)
        }
        async fn mark_sent(&self, ids: &[NotificationId], _: Timestamp) -> Result<(), RepositoryError> {
            self.use_connection().await;
            self.marked.lock().unwrap().extend(ids);
            Ok(())
        }
        async fn mark_failed(&self, _: NotificationId, _: Timestamp) -> Result<(), RepositoryError> {
            unreachable!("nothing fails")
        }
        async fn mark_given_up(&self, _: NotificationId) -> Result<(), RepositoryError> {
            unreachable!("nothing fails")
        }
    }

    #[async_trait]
    impl ContactRepository for Scarce {
        async fn save_contact(&self, _: Contact) -> Result<bool, RepositoryError> {
            Ok(true)
        }
        async fn forget_contact(&self, _: UserId, _: u64) -> Result<(), RepositoryError> {
            Ok(())
        }
        async fn find_contact(&self, user_id: UserId) -> Result<Option<Contact>, RepositoryError> {
            self.use_connection().await;
            Ok(Some(Contact { user_id, email: "ada@souk.test".to_owned(), name: "Ada".to_owned(), version: 1 }))
        }
    }

    #[async_trait]
    impl UserDirectory for Scarce {
        async fn find_user(&self, _: UserId) -> Result<Option<Contact>, DirectoryError> {
            unreachable!("all addresses are known")
        }
    }

    #[async_trait]
    impl Mailer for Scarce {
        async fn send(&self, _: OutgoingEmail) -> Result<(), MailError> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn marking_does_not_wait_for_what_other_attempts_hold() {
        let all = Arc::new(Scarce { connection: Semaphore::new(1), marked: Mutex::default() });
        let emails = DeliverEmails {
            queue: Arc::clone(&all) as Arc<dyn EmailQueue>,
            contacts: Arc::clone(&all) as Arc<dyn ContactRepository>,
            directory: Arc::clone(&all) as Arc<dyn UserDirectory>,
            mailer: Arc::clone(&all) as Arc<dyn Mailer>,
            clock: Arc::new(ManualClock::starting_at(NOW)),
            signal: Arc::default(),
        };
        let delivered = tokio::time::timeout(LEASE, emails.deliver_due()).await;
        assert_eq!(delivered.expect("nobody waits for ever").unwrap(), 4);
        let mut marked = all.marked.lock().unwrap().clone();
        marked.sort();
        assert_eq!(marked, (0..4).map(id).collect::<Vec<_>>());
    }
}
