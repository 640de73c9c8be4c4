//! Settings of a server, as the builder collects them.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use actix_web::HttpRequest;
use futures::future::LocalBoxFuture;

use crate::{
    engine::{Cors, Forbidden, Transport},
    limits::Limits,
};

pub(crate) type AllowRequest = Box<dyn Fn(HttpRequest) -> LocalBoxFuture<'static, Result<(), Forbidden>> + Send + Sync>;
pub(crate) type ClientIp = Box<dyn Fn(&HttpRequest) -> Option<IpAddr> + Send + Sync>;

pub(crate) struct Config {
    pub(crate) path: String,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) max_payload: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) upgrade_timeout: Duration,
    pub(crate) polling: bool,
    pub(crate) websocket: bool,
    pub(crate) cors: Option<Cors>,
    pub(crate) allow_request: Option<AllowRequest>,
    pub(crate) client_ip: Option<ClientIp>,
    pub(crate) limits: Limits,
    pub(crate) state: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Default for Config {
    /// The original's defaults.
    ///
    /// Source: <https://socket.io/docs/v4/server-options/>
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 1_000_000,
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            polling: true,
            websocket: true,
            cors: None,
            allow_request: None,
            client_ip: None,
            limits: Limits::default(),
            state: HashMap::new(),
        }
    }
}

impl Config {
    pub(crate) fn serves(&self, transport: Transport) -> bool {
        match transport {
            Transport::Polling => self.polling,
            Transport::WebSocket => self.websocket,
        }
    }

    pub(crate) fn client_ip(&self, request: &HttpRequest) -> Option<IpAddr> {
        match &self.client_ip {
            Some(find) => find(request),
            None => request.peer_addr().map(|address| address.ip()),
        }
    }

    pub(crate) fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.state.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }
}
