//! Inboxes, contacts and emails in memory. For tests alone (docs/adr/0019): it shows what the ports ask for with nothing
//! underneath, and it must pass the suite that the real stores pass.

mod chat;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contracts::audit::Backlog;
use contracts::event::EventHead;
use contracts::event_data::{InboxAppended, event_type};
use contracts::ids::{NotificationId, OrderId, UserId, UuidV7Generator};
use contracts::{Event, IdGenerator as _, Timestamp};
use messaging::outbox::{OutboxError, OutboxSource};
use notification::application::Cause;
use notification::application::ports::{
    ContactRepository, EmailQueue, Housekeeping, InboxRepository, NotificationDraft, OrderChange, PreferenceRepository,
    Recorded, RepositoryError,
};
use notification::domain::contact::Contact;
use notification::domain::email::QueuedEmail;
use notification::domain::inbox::{Acked, InboxEntry, InboxEvent, InboxPage, ReadData, UnreadData};
use notification::domain::kind::NotificationKind;
use notification::domain::notification::{Notification, to_json};
use notification::domain::ordering::{Ruling, rule};
use notification::domain::preference::{ChannelChange, Channels};
use serde_json::value::RawValue;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::contract::Fixture;

/// Most bytes of data in one page.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// Clones share what they hold.
#[derive(Clone, Default)]
pub(crate) struct InMemoryStore {
    tables: Arc<Mutex<Tables>>,
    appended: Arc<Notify>,
}

#[derive(Default)]
struct Tables {
    inboxes: BTreeMap<UserId, Vec<InboxEntry>>,
    notifications: Vec<(UserId, Notification)>,
    /// With whose order it is.
    order_versions: BTreeMap<OrderId, (u64, UserId)>,
    used_events: BTreeMap<Uuid, Timestamp>,
    preferences: BTreeMap<UserId, BTreeMap<&'static str, (NotificationKind, Channels)>>,
    /// Outcomes that were told, but not in the inbox.
    muted: HashSet<(OrderId, NotificationKind)>,
    acked: BTreeMap<UserId, u64>,
    /// With the newest version that was told.
    contacts: BTreeMap<UserId, (u64, Option<Contact>)>,
    /// With the moment of the next attempt; `None` once sent or given up.
    emails: Vec<(QueuedEmail, Option<Timestamp>)>,
    rooms: chat::Rooms,
    events: Vec<Event>,
    /// Positions in `events`.
    published: HashSet<i64>,
}

/// What the entries of one change have in common.
struct Appender<'a> {
    tables: &'a mut Tables,
    user_id: UserId,
    now: Timestamp,
    cause: &'a Cause,
}

impl Appender<'_> {
    fn next_seq(&self) -> u64 {
        self.tables.inboxes.get(&self.user_id).map_or(0, Vec::len) as u64 + 1
    }

    fn append(&mut self, event: InboxEvent, data: String) {
        let data = self.cause.named_in(data);
        let seq = self.next_seq();
        let head = EventHead {
            id: UuidV7Generator.new_uuid(),
            service: "notification",
            event_type: event_type::INBOX_APPENDED,
            subject: self.user_id.to_string(),
            time: self.now,
            aggregate_version: seq,
            traceparent: self.cause.traceparent.clone(),
            request_id: self.cause.request_id.clone(),
        };
        let json = RawValue::from_string(data.clone()).unwrap();
        let appended = InboxAppended { user_id: self.user_id, seq, event: event.as_str().to_owned(), data: json };
        self.tables.events.push(Event::new(head, &appended).unwrap());
        let entry = InboxEntry { seq, event, data, created_at: self.now };
        self.tables.inboxes.entry(self.user_id).or_default().push(entry);
    }

    /// Whether an email was queued.
    fn notify(&mut self, order_id: OrderId, draft: NotificationDraft) -> bool {
        let outcome = (order_id, draft.kind);
        let is_listed = self.tables.notifications.iter().any(|(_, one)| (one.order_id, one.kind) == outcome);
        if is_listed || self.tables.muted.contains(&outcome) {
            return false;
        }
        let chosen = self.tables.preferences.get(&self.user_id).and_then(|chosen| chosen.get(draft.kind.as_str()));
        let channels = chosen.map(|(_, channels)| *channels).unwrap_or_default();
        let notification = Notification {
            id: draft.id,
            seq: self.next_seq(),
            kind: draft.kind,
            title: draft.message.title,
            body: draft.message.body,
            order_id,
            read_at: None,
            created_at: self.now,
        };
        if channels.email {
            let email = QueuedEmail {
                notification_id: notification.id,
                user_id: self.user_id,
                subject: notification.title.clone(),
                content: draft.email,
                request_id: self.cause.request_id.clone(),
                traceparent: self.cause.traceparent.clone(),
                created_at: self.now,
                failures: 0,
            };
            self.tables.emails.push((email, Some(self.now)));
        }
        if channels.push {
            self.append(InboxEvent::Notification, notification.to_json());
            self.tables.notifications.push((self.user_id, notification));
            self.append_unread();
        } else {
            self.tables.muted.insert(outcome);
        }
        channels.email
    }

    fn append_unread(&mut self) {
        let count = self.tables.of(self.user_id).filter(|one| one.read_at.is_none()).count() as u64;
        self.append(InboxEvent::NotificationUnread, to_json(&UnreadData { count }));
    }

    fn mark_read(&mut self, ids: &BTreeSet<NotificationId>) -> u64 {
        let (user_id, now) = (self.user_id, self.now);
        let mut read = Vec::new();
        for (owner, one) in &mut self.tables.notifications {
            if *owner == user_id && one.read_at.is_none() && ids.contains(&one.id) {
                one.read_at = Some(now);
                read.push(one.id);
            }
        }
        for id in &read {
            self.append(InboxEvent::NotificationRead, to_json(&ReadData { id: *id }));
        }
        if !read.is_empty() {
            self.append_unread();
        }
        read.len() as u64
    }
}

impl Tables {
    fn of(&self, user_id: UserId) -> impl DoubleEndedIterator<Item = &Notification> {
        self.notifications.iter().filter(move |(owner, _)| *owner == user_id).map(|(_, one)| one)
    }
}

impl InMemoryStore {
    fn change<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> T {
        let changed = change(&mut self.tables.lock().unwrap());
        self.appended.notify_one();
        changed
    }

    /// Sets an email's next moment unless it waits no more.
    fn settle(&self, id: NotificationId, next: Option<Timestamp>, failures: u32) {
        self.change(|tables| {
            let waiting = tables.emails.iter_mut().filter(|(_, due)| due.is_some());
            for (email, due) in waiting.filter(|(email, _)| email.notification_id == id) {
                email.failures += failures;
                *due = next;
            }
        });
    }
}

pub(crate) async fn fixture() -> Fixture {
    let store = InMemoryStore::default();
    Fixture::of(store.clone(), store, ()).await
}

#[async_trait]
impl OutboxSource for InMemoryStore {
    async fn pending(&self, limit: usize) -> Result<Vec<(i64, Event)>, OutboxError> {
        let tables = self.tables.lock().unwrap();
        let waiting = (0..).zip(&tables.events).filter(|(position, _)| !tables.published.contains(position));
        Ok(waiting.take(limit).map(|(position, event)| (position, event.clone())).collect())
    }

    async fn mark_published(&self, positions: Vec<i64>) -> Result<(), OutboxError> {
        self.tables.lock().unwrap().published.extend(positions);
        Ok(())
    }

    async fn appended(&self) {
        self.appended.notified().await;
    }

    async fn backlog(&self) -> Result<Backlog, OutboxError> {
        let tables = self.tables.lock().unwrap();
        let waiting = (0..).zip(&tables.events).filter(|(position, _)| !tables.published.contains(position));
        let moments: Vec<_> = waiting.map(|(_, event)| event.time).collect();
        Ok(Backlog { waiting: moments.len() as u64, oldest_at: moments.first().copied() })
    }
}

#[async_trait]
impl InboxRepository for InMemoryStore {
    async fn record_order_change(&self, change: OrderChange) -> Result<Recorded, RepositoryError> {
        self.change(|tables| {
            let newest = tables.order_versions.get(&change.order_id).map(|(version, _)| *version);
            let ruling = rule(newest, change.arrival);
            if ruling == Ruling::Wait {
                return Ok(Recorded::Waits { missing: newest.unwrap_or(0) + 1 });
            }
            if tables.used_events.contains_key(&change.event_id) {
                return Ok(Recorded::Duplicate);
            }
            // An id that another outcome's notification has.
            let is_taken = |draft: &NotificationDraft| {
                let same = |one: &Notification| one.order_id == change.order_id && one.kind == draft.kind;
                tables.notifications.iter().any(|(_, one)| one.id == draft.id && !same(one))
            };
            if change.notification.as_ref().is_some_and(is_taken) {
                return Err(RepositoryError::Conflict);
            }
            tables.used_events.insert(change.event_id, change.now);
            let (user_id, now) = (change.user_id, change.now);
            let mut appender = Appender { tables, user_id, now, cause: &change.cause };
            if ruling == Ruling::Use {
                appender.tables.order_versions.insert(change.order_id, (change.arrival.version, user_id));
                appender.append(change.entry, change.order_json);
            }
            let email_queued = change.notification.is_some_and(|draft| appender.notify(change.order_id, draft));
            Ok(if ruling == Ruling::Use { Recorded::Used { email_queued } } else { Recorded::Late { email_queued } })
        })
    }

    async fn list_inbox(&self, user_id: UserId, after_seq: u64, limit: u32) -> Result<InboxPage, RepositoryError> {
        let tables = self.tables.lock().unwrap();
        let all = tables.inboxes.get(&user_id).map_or(&[][..], Vec::as_slice);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry in all.iter().filter(|entry| entry.seq > after_seq).take(limit as usize) {
            bytes += entry.data.len();
            if bytes > MAX_PAGE_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        let acked_seq = tables.acked.get(&user_id).copied().unwrap_or_default();
        Ok(InboxPage { entries, head_seq: all.len() as u64, acked_seq })
    }

    async fn acknowledge(&self, user_id: UserId, seq: u64) -> Result<Acked, RepositoryError> {
        Ok(self.change(|tables| {
            let head_seq = tables.inboxes.get(&user_id).map_or(0, Vec::len) as u64;
            let acked = tables.acked.entry(user_id).or_default();
            if seq > head_seq {
                return Acked::BeyondHead { head_seq };
            }
            *acked = seq.max(*acked);
            Acked::UpTo(*acked)
        }))
    }

    async fn list_notifications(
        &self,
        user_id: UserId,
        unread_only: bool,
        before_seq: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Notification>, RepositoryError> {
        let tables = self.tables.lock().unwrap();
        let found = tables.of(user_id).rev().filter(|one| before_seq.is_none_or(|before| one.seq < before));
        Ok(found.filter(|one| !unread_only || one.read_at.is_none()).take(limit as usize).cloned().collect())
    }

    async fn count_unread(&self, user_id: UserId) -> Result<u64, RepositoryError> {
        Ok(self.tables.lock().unwrap().of(user_id).filter(|one| one.read_at.is_none()).count() as u64)
    }

    async fn mark_read(
        &self,
        user_id: UserId,
        id: NotificationId,
        now: Timestamp,
        cause: Cause,
    ) -> Result<Option<Notification>, RepositoryError> {
        Ok(self.change(|tables| {
            Appender { tables, user_id, now, cause: &cause }.mark_read(&BTreeSet::from([id]));
            tables.of(user_id).find(|one| one.id == id).cloned()
        }))
    }

    async fn mark_all_read(&self, user_id: UserId, now: Timestamp, cause: Cause) -> Result<u64, RepositoryError> {
        Ok(self.change(|tables| {
            let ids = tables.of(user_id).map(|one| one.id).collect();
            Appender { tables, user_id, now, cause: &cause }.mark_read(&ids)
        }))
    }
}

#[async_trait]
impl PreferenceRepository for InMemoryStore {
    async fn list_preferences(&self, user_id: UserId) -> Result<Vec<(NotificationKind, Channels)>, RepositoryError> {
        let tables = self.tables.lock().unwrap();
        Ok(tables.preferences.get(&user_id).into_iter().flat_map(|chosen| chosen.values().copied()).collect())
    }

    async fn save_preferences(
        &self,
        user_id: UserId,
        changes: Vec<(NotificationKind, ChannelChange)>,
    ) -> Result<(), RepositoryError> {
        self.change(|tables| {
            let chosen = tables.preferences.entry(user_id).or_default();
            for (kind, change) in changes {
                let (_, channels) = chosen.entry(kind.as_str()).or_insert((kind, Channels::default()));
                *channels = channels.after(change);
            }
        });
        Ok(())
    }
}

#[async_trait]
impl ContactRepository for InMemoryStore {
    async fn save_contact(&self, contact: Contact) -> Result<bool, RepositoryError> {
        Ok(self.change(|tables| {
            let (told, kept) = tables.contacts.entry(contact.user_id).or_default();
            let newest = contact.version >= *told;
            if newest {
                (*told, *kept) = (contact.version, Some(contact));
            }
            newest
        }))
    }

    async fn forget_contact(&self, user_id: UserId, version: u64) -> Result<(), RepositoryError> {
        self.change(|tables| {
            let (told, kept) = tables.contacts.entry(user_id).or_default();
            if version > *told {
                (*told, *kept) = (version, None);
            }
        });
        Ok(())
    }

    async fn find_contact(&self, user_id: UserId) -> Result<Option<Contact>, RepositoryError> {
        Ok(self.tables.lock().unwrap().contacts.get(&user_id).and_then(|(_, kept)| kept.clone()))
    }
}

#[async_trait]
impl EmailQueue for InMemoryStore {
    async fn claim_due(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<QueuedEmail>, RepositoryError> {
        Ok(self.change(|tables| {
            let is_due = |due: &Option<Timestamp>| due.is_some_and(|due| due <= now);
            let mut due: Vec<_> = tables.emails.iter_mut().filter(|(_, due)| is_due(due)).collect();
            due.sort_by_key(|(_, due)| *due);
            let claim = |(email, due): &mut (QueuedEmail, Option<Timestamp>)| {
                *due = Some(lease_until);
                email.clone()
            };
            due.into_iter().take(limit as usize).map(claim).collect()
        }))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        Ok(self.tables.lock().unwrap().emails.iter().filter_map(|(_, due)| *due).min())
    }

    async fn mark_sent(&self, ids: &[NotificationId], _: Timestamp) -> Result<(), RepositoryError> {
        for id in ids {
            self.settle(*id, None, 0);
        }
        Ok(())
    }

    async fn mark_failed(&self, id: NotificationId, next_attempt_at: Timestamp) -> Result<(), RepositoryError> {
        self.settle(id, Some(next_attempt_at), 1);
        Ok(())
    }

    async fn mark_given_up(&self, id: NotificationId) -> Result<(), RepositoryError> {
        self.settle(id, None, 1);
        Ok(())
    }
}

#[async_trait]
impl Housekeeping for InMemoryStore {
    async fn forget_before(&self, moment: Timestamp) -> Result<(), RepositoryError> {
        self.change(|tables| {
            tables.used_events.retain(|_, used_at| *used_at >= moment);
            tables.emails.retain(|(email, due)| due.is_some() || email.created_at >= moment);
        });
        Ok(())
    }
}
