//! The public keys that verify access tokens.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use contracts::grpc::users::GetJwksRequest;
use contracts::grpc::users::users_service_client::UsersServiceClient;
use contracts::{Clock, Timestamp};
use observability::metrics::Cache;

use crate::grpc::client::GrpcChannel;

/// An Ed25519 public key and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    /// The `kid` of tokens signed with it.
    pub kid: String,
    /// 32 bytes.
    pub public_key: Vec<u8>,
}

/// The keys can't be had now.
#[derive(Debug, thiserror::Error)]
#[error("the keys that verify access tokens can't be had")]
pub struct KeysUnavailable;

/// Where a verifier finds keys.
#[async_trait]
pub trait VerificationKeys: Send + Sync {
    /// The key with this id; `None` when there is none.
    async fn find(&self, kid: &str) -> Result<Option<VerifyingKey>, KeysUnavailable>;
}

/// An unknown id is asked for at most this often, so that forged tokens can't make us hammer users.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_secs(2);

/// Keys published by users, fetched when an unknown one turns up and kept.
pub struct RemoteKeys {
    users: UsersServiceClient<GrpcChannel>,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
    cache: Cache,
}

#[derive(Default)]
struct Known {
    keys: HashMap<String, VerifyingKey>,
    fetched_at: Option<Timestamp>,
}

impl RemoteKeys {
    /// Keys of the users service at the end of this channel.
    pub fn new(channel: GrpcChannel, clock: Arc<dyn Clock>) -> Self {
        Self { users: UsersServiceClient::new(channel), clock, known: RwLock::default(), cache: Cache::new("jwks") }
    }
}

#[async_trait]
impl VerificationKeys for RemoteKeys {
    async fn find(&self, kid: &str) -> Result<Option<VerifyingKey>, KeysUnavailable> {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(key) = known.keys.get(kid) {
                self.cache.hit();
                return Ok(Some(key.clone()));
            }
            self.cache.miss();
            if known.fetched_at.is_some_and(|at| self.clock.now().since(at) < REFRESH_AT_MOST_EVERY) {
                return Ok(None);
            }
        }
        let response = self.users.clone().get_jwks(GetJwksRequest {}).await.map_err(|status| {
            tracing::warn!(code = ?status.code(), "keys of access tokens could not be fetched");
            KeysUnavailable
        })?;
        let keys = response.into_inner().keys.into_iter();
        let keys: HashMap<_, _> =
            keys.map(|key| (key.kid.clone(), VerifyingKey { kid: key.kid, public_key: key.public_key })).collect();
        let found = keys.get(kid).cloned();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) =
            Known { keys, fetched_at: Some(self.clock.now()) };
        Ok(found)
    }
}
