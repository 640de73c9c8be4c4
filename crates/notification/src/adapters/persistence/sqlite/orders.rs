//! An order's event becomes entries, a notification, an email and `inbox.appended` events, or nothing, in one transaction.

use contracts::IdGenerator;
use contracts::ids::OrderId;
use rusqlite::{Connection, OptionalExtension as _};

use super::entries::Appender;
use super::error::SqliteError;
use super::rows::{integer, unsigned};
use super::{CONSUMER, SqliteStore};
use crate::application::ports::{NotificationDraft, OrderChange, Recorded};
use crate::domain::inbox::InboxEvent;
use crate::domain::notification::Notification;
use crate::domain::ordering::{Ruling, rule};

impl SqliteStore {
    pub(super) async fn write_order_change(&self, change: OrderChange) -> Result<Recorded, SqliteError> {
        let ids = self.ids.clone();
        self.outbox.write("record order change", move |connection| record(connection, ids.as_ref(), change)).await
    }
}

fn record(connection: &Connection, ids: &dyn IdGenerator, change: OrderChange) -> Result<Recorded, SqliteError> {
    let newest = newest_version(connection, change.order_id)?;
    let ruling = rule(newest, change.arrival);
    if ruling == Ruling::Wait {
        return Ok(Recorded::Waits { missing: newest.unwrap_or(0) + 1 });
    }
    if !messaging::inbox::record_first_use(connection, CONSUMER, change.event_id, change.now)? {
        return Ok(Recorded::Duplicate);
    }
    let OrderChange { event_id, user_id, now, ref cause, .. } = change;
    let appender = Appender { connection, ids, user_id, now, cause };
    if ruling == Ruling::Use {
        connection
            .prepare_cached(
                "INSERT INTO order_versions (order_id, version, user_id) VALUES (?1, ?2, ?3)
                 ON CONFLICT (order_id) DO UPDATE SET version = excluded.version, user_id = excluded.user_id",
            )?
            .execute((change.order_id.to_string(), integer(change.arrival.version), user_id.to_string()))?;
        let entry_id = format!("{event_id}/{}", change.entry.as_str());
        appender.append(appender.next_seq()?, change.entry, change.order_json, &entry_id)?;
    }
    let email_queued = match change.notification {
        Some(draft) => notify(&appender, &format!("{event_id}/notification"), change.order_id, draft)?,
        None => false,
    };
    Ok(if ruling == Ruling::Use { Recorded::Used { email_queued } } else { Recorded::Late { email_queued } })
}

fn newest_version(connection: &Connection, order_id: OrderId) -> Result<Option<u64>, SqliteError> {
    let id = order_id.to_string();
    let version: Option<i64> = connection
        .prepare_cached("SELECT version FROM order_versions WHERE order_id = ?1")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    version.map(|version| unsigned(version, "order_versions", &id)).transpose()
}

/// Makes the notification unless there is one for this outcome, and says whether an email was queued with it.
fn notify(
    appender: &Appender<'_>,
    entry_id: &str,
    order_id: OrderId,
    draft: NotificationDraft,
) -> Result<bool, SqliteError> {
    let notification = Notification {
        id: draft.id,
        seq: appender.next_seq()?,
        kind: draft.kind,
        title: draft.message.title,
        body: draft.message.body,
        order_id,
        read_at: None,
        created_at: appender.now,
    };
    let is_new = appender
        .connection
        .prepare_cached(
            "INSERT INTO notifications (user_id, seq, id, kind, title, body, order_id, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (order_id, kind) DO NOTHING",
        )?
        .execute((
            appender.user_id.to_string(),
            integer(notification.seq),
            notification.id.to_string(),
            notification.kind.as_str(),
            &notification.title,
            &notification.body,
            order_id.to_string(),
            notification.created_at.unix_ms(),
        ))?
        == 1;
    if !is_new {
        return Ok(false);
    }
    appender.append(notification.seq, InboxEvent::Notification, notification.to_json(), entry_id)?;
    queue_email(appender, &notification, &draft.email_body)
}

fn queue_email(appender: &Appender<'_>, notification: &Notification, body: &str) -> Result<bool, SqliteError> {
    let user_id = appender.user_id.to_string();
    let wanted: Option<bool> = appender
        .connection
        .prepare_cached("SELECT email FROM preferences WHERE user_id = ?1 AND kind = ?2")?
        .query_row((&user_id, notification.kind.as_str()), |row| row.get(0))
        .optional()?;
    if wanted == Some(false) {
        return Ok(false);
    }
    let now = appender.now.unix_ms();
    appender
        .connection
        .prepare_cached(
            "INSERT INTO emails (notification_id, user_id, subject, body, request_id, traceparent, created_at, next_attempt_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        )?
        .execute((
            notification.id.to_string(),
            &user_id,
            &notification.title,
            body,
            &appender.cause.request_id,
            &appender.cause.traceparent,
            now,
        ))?;
    Ok(true)
}
