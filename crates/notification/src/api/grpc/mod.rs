//! `souk.notification.v1`.

pub mod chat;
mod convert;
mod error;

use std::sync::Arc;

use contracts::Refusal;
use contracts::grpc::notification::notification_service_server::NotificationService;
use contracts::grpc::notification::{
    AckInboxRequest, AckInboxResponse, GetPreferencesRequest, GetUnreadCountRequest, GetUnreadCountResponse,
    ListInboxRequest, ListInboxResponse, ListNotificationsRequest, ListNotificationsResponse, MarkAllReadRequest,
    MarkAllReadResponse, MarkReadRequest, Notification, Preferences as PreferencesMessage,
};
use contracts::ids::UserId;
use service_kit::auth::Caller;
use tonic::{Request, Response, Status};

use crate::application::acknowledge::Acknowledge;
use crate::application::mark_read::MarkRead;
use crate::application::preferences::Preferences;
use crate::application::queries::Queries;

/// Answers the calls.
pub struct NotificationApi {
    /// What users read.
    pub queries: Arc<Queries>,
    /// How far users' devices have their inbox.
    pub acknowledge: Arc<Acknowledge>,
    /// What users have read.
    pub mark_read: Arc<MarkRead>,
    /// What users want to be told of, and how.
    pub preferences: Arc<Preferences>,
}

/// The signed-in user: everything but `ListInbox` is theirs alone.
fn own<T>(request: &Request<T>) -> Result<UserId, Refusal> {
    Ok(Caller::of(request).user()?.user_id)
}

#[tonic::async_trait]
impl NotificationService for NotificationApi {
    async fn list_inbox(&self, request: Request<ListInboxRequest>) -> Result<Response<ListInboxResponse>, Status> {
        let caller = Caller::of(&request);
        let message = request.into_inner();
        let user_id = convert::inbox_owner(&caller, &message.user_id)?;
        let limit = convert::limit(message.limit, 100, 500)?;
        let page = self.queries.list_inbox(user_id, message.after_seq, limit).await.map_err(error::refusal)?;
        Ok(Response::new(convert::inbox_page(page)))
    }

    async fn ack_inbox(&self, request: Request<AckInboxRequest>) -> Result<Response<AckInboxResponse>, Status> {
        let user_id = own(&request)?;
        let cursor = request.into_inner().cursor;
        let acked_seq = self.acknowledge.run(user_id, cursor).await.map_err(error::refusal)?;
        Ok(Response::new(AckInboxResponse { acked_seq }))
    }

    async fn list_notifications(
        &self,
        request: Request<ListNotificationsRequest>,
    ) -> Result<Response<ListNotificationsResponse>, Status> {
        let user_id = own(&request)?;
        let message = request.into_inner();
        let limit = convert::limit(message.limit, 20, 100)?;
        let before_seq = convert::decode_cursor(&message.cursor)?;
        let page = self.queries.list_notifications(user_id, message.unread_only, before_seq, limit).await;
        Ok(Response::new(convert::notification_page(page.map_err(error::refusal)?)))
    }

    async fn mark_read(&self, request: Request<MarkReadRequest>) -> Result<Response<Notification>, Status> {
        let user_id = own(&request)?;
        let id = convert::notification_id(&request.into_inner().notification_id)?;
        let notification = self.mark_read.one(user_id, id).await.map_err(error::refusal)?;
        Ok(Response::new(convert::notification(notification)))
    }

    async fn mark_all_read(
        &self,
        request: Request<MarkAllReadRequest>,
    ) -> Result<Response<MarkAllReadResponse>, Status> {
        let marked = self.mark_read.all(own(&request)?).await.map_err(error::refusal)?;
        Ok(Response::new(MarkAllReadResponse { marked }))
    }

    async fn get_unread_count(
        &self,
        request: Request<GetUnreadCountRequest>,
    ) -> Result<Response<GetUnreadCountResponse>, Status> {
        let count = self.queries.count_unread(own(&request)?).await.map_err(error::refusal)?;
        Ok(Response::new(GetUnreadCountResponse { count }))
    }

    async fn get_preferences(
        &self,
        request: Request<GetPreferencesRequest>,
    ) -> Result<Response<PreferencesMessage>, Status> {
        let choices = self.preferences.list(own(&request)?).await.map_err(error::refusal)?;
        Ok(Response::new(convert::preferences(choices)))
    }

    async fn update_preferences(
        &self,
        request: Request<PreferencesMessage>,
    ) -> Result<Response<PreferencesMessage>, Status> {
        let user_id = own(&request)?;
        let changes = convert::changes(&request.into_inner())?;
        let choices = self.preferences.update(user_id, changes).await.map_err(error::refusal)?;
        Ok(Response::new(convert::preferences(choices)))
    }
}
