//! Two replicas that deliver emails from one queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::Clock as _;
use contracts::ids::{NotificationId, UserId};
use contracts::timestamp::ManualClock;
use notification::application::MailSignal;
use notification::application::deliver_emails::{DeliverEmails, LEASE};
use notification::application::ports::{DirectoryError, MailError, Mailer, OutgoingEmail, UserDirectory};
use notification::domain::contact::Contact;
use tokio::sync::Semaphore;

use crate::builders::{START, new_user};
use crate::contract::{Fixture, Store, notify};

const EMAILS: u64 = 6;
const TICK: Duration = Duration::from_millis(5);
/// Those that a replica sends before it dies.
const SENT_BEFORE: usize = 2;

/// Counts how often each email is sent; a replica without permits hangs in the middle of sending.
struct Counter {
    sent: Arc<Mutex<HashMap<NotificationId, u32>>>,
    permits: Arc<Semaphore>,
}

#[async_trait]
impl Mailer for Counter {
    async fn send(&self, email: OutgoingEmail) -> Result<(), MailError> {
        self.permits.acquire().await.unwrap().forget();
        *self.sent.lock().unwrap().entry(email.id).or_default() += 1;
        Ok(())
    }
}

struct Everybody;

#[async_trait]
impl UserDirectory for Everybody {
    async fn find_user(&self, user_id: UserId) -> Result<Option<Contact>, DirectoryError> {
        Ok(Some(Contact { user_id, email: "ada@souk.test".to_owned(), name: "Ada".to_owned(), version: 1 }))
    }
}

struct Replicas {
    store: Arc<dyn Store>,
    clock: ManualClock,
    sent: Arc<Mutex<HashMap<NotificationId, u32>>>,
}

impl Replicas {
    fn replica(&self, permits: usize) -> DeliverEmails {
        DeliverEmails {
            queue: Arc::clone(&self.store) as _,
            contacts: Arc::clone(&self.store) as _,
            directory: Arc::new(Everybody),
            mailer: Arc::new(Counter { sent: Arc::clone(&self.sent), permits: Arc::new(Semaphore::new(permits)) }),
            clock: Arc::new(self.clock.clone()),
            signal: Arc::new(MailSignal::default()),
        }
    }
}

async fn of(fixture: &Fixture) -> Replicas {
    let store = fixture.store();
    notify(store.as_ref(), new_user(), EMAILS).await;
    Replicas { store, clock: ManualClock::starting_at(START), sent: Arc::default() }
}

pub(crate) async fn each_email_is_sent_by_one_of_them(fixture: Fixture) {
    let replicas = of(&fixture).await;
    let (one, other) = (replicas.replica(99), replicas.replica(99));
    while replicas.sent.lock().unwrap().len() < EMAILS as usize {
        let (one, other) = tokio::join!(one.deliver_due(), other.deliver_due());
        one.unwrap();
        other.unwrap();
    }
    assert!(replicas.sent.lock().unwrap().values().all(|times| *times == 1));
    assert_eq!(replicas.store.next_due().await.unwrap(), None);
}

pub(crate) async fn what_one_had_claimed_when_it_died_is_sent_by_the_other_when_the_lease_is_over(fixture: Fixture) {
    let replicas = of(&fixture).await;
    let (doomed, other) = (replicas.replica(SENT_BEFORE), replicas.replica(99));
    tokio::select! {
        _ = doomed.deliver_due() => panic!("it hangs in the middle"),
        () = async { while replicas.sent.lock().unwrap().len() < SENT_BEFORE { tokio::time::sleep(TICK).await; } } => {}
    }
    other.deliver_due().await.unwrap();
    assert_eq!(replicas.sent.lock().unwrap().len(), SENT_BEFORE, "the lease is respected");
    replicas.clock.advance(LEASE);
    assert!(replicas.clock.now() > START);
    other.deliver_due().await.unwrap();
    let sent = replicas.sent.lock().unwrap();
    assert_eq!(sent.len(), EMAILS as usize);
    // Sent and not recorded: those alone may come twice, with the same Message-ID.
    assert!(sent.values().filter(|times| **times > 1).count() <= SENT_BEFORE, "{sent:?}");
}
