//! Stand-in for notification, with an inbox that tests append to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use contracts::grpc::notification::notification_service_server::NotificationService;
use contracts::grpc::notification::*;
use tonic::{Request, Response, Status};

use super::Script;

/// Runs once, after an inbox was read and before the reader gets the answer.
type AfterRead = Box<dyn FnOnce() + Send>;

#[derive(Clone)]
pub(crate) struct Notifications {
    pub(crate) script: Script,
    pub(crate) after_read: Arc<Mutex<Option<AfterRead>>>,
    inboxes: Arc<Mutex<HashMap<String, Vec<InboxEntry>>>>,
}

impl Notifications {
    pub(crate) fn new(script: Script) -> Self {
        Self { script, after_read: Arc::default(), inboxes: Arc::default() }
    }

    /// Entries of all users.
    pub(crate) fn len(&self) -> usize {
        self.inboxes.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Appends an entry, tells nobody, and returns its position.
    pub(crate) fn append(&self, user_id: &str, event: &str, data_json: &str) -> u64 {
        let mut inboxes = self.inboxes.lock().unwrap();
        let inbox = inboxes.entry(user_id.to_owned()).or_default();
        let seq = inbox.last().map_or(0, |entry| entry.seq) + 1;
        inbox.push(InboxEntry { seq, event: event.to_owned(), data_json: data_json.to_owned(), created_at_unix_ms: 0 });
        seq
    }

    /// Takes entries away, up to this one.
    pub(crate) fn forget(&self, user_id: &str, up_to: u64) {
        self.inboxes.lock().unwrap().entry(user_id.to_owned()).or_default().retain(|entry| entry.seq > up_to);
    }
}

fn notification(id: &str, read: bool) -> Notification {
    Notification {
        id: id.to_owned(),
        seq: 4,
        kind: "order_confirmed".to_owned(),
        title: "Confirmed".to_owned(),
        body: "Your order is confirmed.".to_owned(),
        data_json: r#"{"order_id":"7"}"#.to_owned(),
        read,
        created_at_unix_ms: 0,
    }
}

#[tonic::async_trait]
impl NotificationService for Notifications {
    async fn list_inbox(&self, request: Request<ListInboxRequest>) -> Result<Response<ListInboxResponse>, Status> {
        self.script.enter("ListInbox", &request).await?;
        let ListInboxRequest { user_id, after_seq, limit } = request.into_inner();
        let answer = {
            let inboxes = self.inboxes.lock().unwrap();
            let inbox = inboxes.get(&user_id).map_or(&[][..], Vec::as_slice);
            let limit = if limit == 0 { 100 } else { limit as usize };
            let items = inbox.iter().filter(|entry| entry.seq > after_seq).take(limit).cloned().collect();
            ListInboxResponse { items, head_seq: inbox.last().map_or(0, |entry| entry.seq), acked_seq: 0 }
        };
        let after_read = self.after_read.lock().unwrap().take();
        if let Some(after_read) = after_read {
            after_read();
        }
        Ok(Response::new(answer))
    }
    async fn ack_inbox(&self, request: Request<AckInboxRequest>) -> Result<Response<AckInboxResponse>, Status> {
        self.script.enter("AckInbox", &request).await?;
        Ok(Response::new(AckInboxResponse { acked_seq: request.get_ref().cursor }))
    }
    async fn list_notifications(
        &self,
        request: Request<ListNotificationsRequest>,
    ) -> Result<Response<ListNotificationsResponse>, Status> {
        self.script.enter("ListNotifications", &request).await?;
        let items = vec![notification("0190a1b2-0000-7000-8000-0000000000cc", false)];
        Ok(Response::new(ListNotificationsResponse { items, next_cursor: String::new() }))
    }
    async fn mark_read(&self, request: Request<MarkReadRequest>) -> Result<Response<Notification>, Status> {
        self.script.enter("MarkRead", &request).await?;
        Ok(Response::new(notification(&request.get_ref().notification_id, true)))
    }
    async fn mark_all_read(
        &self,
        request: Request<MarkAllReadRequest>,
    ) -> Result<Response<MarkAllReadResponse>, Status> {
        self.script.enter("MarkAllRead", &request).await?;
        Ok(Response::new(MarkAllReadResponse { marked: 3 }))
    }
    async fn get_unread_count(
        &self,
        request: Request<GetUnreadCountRequest>,
    ) -> Result<Response<GetUnreadCountResponse>, Status> {
        self.script.enter("GetUnreadCount", &request).await?;
        Ok(Response::new(GetUnreadCountResponse { count: 5 }))
    }
    async fn get_preferences(&self, request: Request<GetPreferencesRequest>) -> Result<Response<Preferences>, Status> {
        self.script.enter("GetPreferences", &request).await?;
        let kind = "order_confirmed".to_owned();
        let items = vec![Preference { kind, email: true, push: Some(true), ..Preference::default() }];
        Ok(Response::new(Preferences { items }))
    }
    async fn update_preferences(&self, request: Request<Preferences>) -> Result<Response<Preferences>, Status> {
        self.script.enter("UpdatePreferences", &request).await?;
        let items = request.into_inner().items.into_iter();
        let all_on = |item: Preference| Preference {
            push: item.push.or(Some(true)),
            email: item.email || item.keep_email,
            keep_email: false,
            ..item
        };
        Ok(Response::new(Preferences { items: items.map(all_on).collect() }))
    }
}
