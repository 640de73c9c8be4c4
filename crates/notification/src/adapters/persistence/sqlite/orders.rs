//! An order's event becomes entries, a notification, an email and `inbox.appended` events, or nothing, in one transaction.

use contracts::IdGenerator;
use contracts::ids::OrderId;
use rusqlite::{Connection, OptionalExtension as _};

use super::entries::Appender;
use super::error::SqliteError;
use super::notifications::append_unread;
use super::preferences::channels_of;
use super::rows::{integer, unsigned};
use super::{CONSUMER, SqliteStore};
use crate::application::ports::{NotificationDraft, OrderChange, Recorded};
use crate::domain::email_content::EmailContent;
use crate::domain::inbox::InboxEvent;
use crate::domain::kind::NotificationKind;
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

/// Tells the user of the outcome, unless that was done, and says whether an email was queued.
fn notify(
    appender: &Appender<'_>,
    entry_id: &str,
    order_id: OrderId,
    draft: NotificationDraft,
) -> Result<bool, SqliteError> {
    if was_told(appender.connection, order_id, draft.kind)? {
        return Ok(false);
    }
    let channels = channels_of(appender.connection, appender.user_id, draft.kind)?;
    let NotificationDraft { id, kind, message, email } = draft;
    let notification = Notification {
        id,
        seq: appender.next_seq()?,
        kind,
        title: message.title,
        body: message.body,
        order_id,
        read_at: None,
        created_at: appender.now,
    };
    if channels.push {
        insert_notification(appender, &notification)?;
        appender.append(notification.seq, InboxEvent::Notification, notification.to_json(), entry_id)?;
        append_unread(appender, appender.ids)?;
    } else {
        appender
            .connection
            .prepare_cached("INSERT INTO muted_outcomes (order_id, kind, user_id, created_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute((order_id.to_string(), kind.as_str(), appender.user_id.to_string(), appender.now.unix_ms()))?;
    }
    if channels.email {
        queue_email(appender, &notification, &email)?;
    }
    Ok(channels.email)
}

fn was_told(connection: &Connection, order_id: OrderId, kind: NotificationKind) -> Result<bool, SqliteError> {
    Ok(connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM notifications WHERE order_id = ?1 AND kind = ?2)
                 OR EXISTS (SELECT 1 FROM muted_outcomes WHERE order_id = ?1 AND kind = ?2)",
        )?
        .query_row((order_id.to_string(), kind.as_str()), |row| row.get(0))?)
}

fn insert_notification(appender: &Appender<'_>, notification: &Notification) -> Result<(), SqliteError> {
    appender
        .connection
        .prepare_cached(
            "INSERT INTO notifications (user_id, seq, id, kind, title, body, order_id, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            appender.user_id.to_string(),
            integer(notification.seq),
            notification.id.to_string(),
            notification.kind.as_str(),
            &notification.title,
            &notification.body,
            notification.order_id.to_string(),
            notification.created_at.unix_ms(),
        ))?;
    Ok(())
}

fn queue_email(
    appender: &Appender<'_>,
    notification: &Notification,
    content: &EmailContent,
) -> Result<(), SqliteError> {
    appender
        .connection
        .prepare_cached(
            "INSERT INTO emails
                 (notification_id, user_id, subject, body, html, request_id, traceparent, created_at, next_attempt_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
        )?
        .execute((
            notification.id.to_string(),
            appender.user_id.to_string(),
            &notification.title,
            &content.text,
            &content.html,
            &appender.cause.request_id,
            &appender.cause.traceparent,
            appender.now.unix_ms(),
        ))?;
    Ok(())
}
