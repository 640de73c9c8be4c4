//! The users service.

use async_trait::async_trait;
use contracts::grpc::users::GetUserRequest;
use contracts::grpc::users::users_service_client::UsersServiceClient;
use contracts::ids::UserId;
use contracts::{Reason, Refusal};
use service_kit::grpc::client::GrpcChannel;

use crate::application::ports::{DirectoryError, UserDirectory};
use crate::domain::contact::Contact;

/// Asks over gRPC, as this service.
pub struct GrpcUserDirectory {
    users: UsersServiceClient<GrpcChannel>,
}

impl GrpcUserDirectory {
    /// The directory at the end of this channel.
    pub fn new(channel: GrpcChannel) -> Self {
        Self { users: UsersServiceClient::new(channel) }
    }
}

#[async_trait]
impl UserDirectory for GrpcUserDirectory {
    async fn find_user(&self, user_id: UserId) -> Result<Option<Contact>, DirectoryError> {
        let request = GetUserRequest { user_id: user_id.to_string() };
        match self.users.clone().get_user(request).await {
            Ok(response) => {
                let user = response.into_inner();
                Ok(Some(Contact { user_id, email: user.email, name: user.name, version: user.version }))
            }
            Err(status) => {
                let refusal = Refusal::from_status(&status);
                // Only the owner's own word counts: a transport's "not found" is no statement about the user.
                if refusal.reason == Reason::UserNotFound { Ok(None) } else { Err(DirectoryError(Box::new(refusal))) }
            }
        }
    }
}
