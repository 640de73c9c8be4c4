//! What a composition root is given.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::{Clock, IdGenerator};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::auth::{Authenticator, RemoteKeys, ServiceIdentity, UserTokenVerifier, VerificationKeys};
use crate::grpc::client::{GrpcChannel, Neighbour, channel};

/// The process around a service: time, ids, neighbours, the secret that services share, the signal to stop.
#[derive(Clone)]
pub struct Platform {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub ids: Arc<dyn IdGenerator>,
    /// Signs and verifies service tokens.
    pub service_secret: SecretString,
    /// Where the other services are, by name.
    pub neighbours: HashMap<&'static str, Neighbour>,
    /// Cancelled when the process stops.
    pub stop: CancellationToken,
}

/// A neighbour that nobody said where to find.
#[derive(Debug, thiserror::Error)]
#[error("{caller} needs {callee}: set SOUK_{}_URL", callee.to_uppercase())]
pub struct UnknownNeighbour {
    caller: &'static str,
    callee: &'static str,
}

impl Platform {
    /// The identity of a service.
    pub fn identity(&self, name: &'static str) -> Arc<ServiceIdentity> {
        Arc::new(ServiceIdentity::new(name, &self.service_secret, Arc::clone(&self.clock)))
    }

    /// A channel from one service to another.
    ///
    /// # Errors
    /// [`UnknownNeighbour`].
    pub fn channel(
        &self,
        identity: &Arc<ServiceIdentity>,
        callee: &'static str,
    ) -> Result<GrpcChannel, UnknownNeighbour> {
        let neighbour = self.neighbours.get(callee).ok_or(UnknownNeighbour { caller: identity.name(), callee })?;
        Ok(channel(neighbour, Arc::clone(identity), callee))
    }

    /// What verifies users' tokens with the keys that the users service publishes.
    ///
    /// # Errors
    /// [`UnknownNeighbour`].
    pub fn user_tokens(&self, identity: &Arc<ServiceIdentity>) -> Result<Arc<UserTokenVerifier>, UnknownNeighbour> {
        let keys = RemoteKeys::new(self.channel(identity, "users")?, Arc::clone(&self.clock));
        Ok(self.user_tokens_with(Arc::new(keys)))
    }

    /// What verifies users' tokens with these keys.
    pub fn user_tokens_with(&self, keys: Arc<dyn VerificationKeys>) -> Arc<UserTokenVerifier> {
        Arc::new(UserTokenVerifier::new(keys, Arc::clone(&self.clock)))
    }

    /// What tells the callers of a service apart.
    pub fn authenticator(
        &self,
        identity: &Arc<ServiceIdentity>,
        user_tokens: Arc<UserTokenVerifier>,
    ) -> Arc<Authenticator> {
        Arc::new(Authenticator::new(Arc::clone(identity), user_tokens))
    }
}
