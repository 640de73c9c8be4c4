//! Stand-ins for the services: they answer with fixed data, refuse, hang or answer nonsense when told to, and remember
//! who called them with what.

pub(crate) mod chat;
pub(crate) mod chat_rooms;
pub(crate) mod inventory;
pub(crate) mod notification;
pub(crate) mod orders;
pub(crate) mod payment;
pub(crate) mod users;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use contracts::Refusal;
use contracts::ids::{ChatRoomId, UserId};
use service_kit::auth::Caller;
use tonic::{Request, Status};

/// What a call was.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) caller: Caller,
    pub(crate) request_id: String,
    pub(crate) message: String,
}

#[derive(Clone)]
enum Order {
    Refuse(Refusal),
    Fail(tonic::Code, &'static str),
    Hang,
}

/// What the stand-ins are told, and what they saw; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Script {
    orders: Arc<Mutex<HashMap<&'static str, Order>>>,
    calls: Arc<Mutex<Vec<Call>>>,
    /// The chat rooms of users; of others there is one, of which everybody is a member.
    pub(crate) chats: Arc<Mutex<HashMap<UserId, Vec<ChatRoomId>>>>,
}

impl Script {
    pub(crate) fn refuse(&self, method: &'static str, refusal: Refusal) {
        self.orders.lock().unwrap().insert(method, Order::Refuse(refusal));
    }

    /// Fails as a server would that knows nothing of Souk's reasons.
    pub(crate) fn fail(&self, method: &'static str, code: tonic::Code, message: &'static str) {
        self.orders.lock().unwrap().insert(method, Order::Fail(code, message));
    }

    pub(crate) fn hang(&self, method: &'static str) {
        self.orders.lock().unwrap().insert(method, Order::Hang);
    }

    pub(crate) fn relent(&self, method: &'static str) {
        self.orders.lock().unwrap().remove(method);
    }

    pub(crate) fn calls(&self, method: &str) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|call| call.method == method).cloned().collect()
    }

    /// Calls that a user's request caused; what the gateway asks on its own account is left out.
    pub(crate) fn calls_for_requests(&self) -> Vec<Call> {
        let own = ["GetJwks", "ListRevocations"];
        self.calls.lock().unwrap().iter().filter(|call| !own.contains(&call.method)).cloned().collect()
    }

    pub(crate) async fn enter<T: Debug>(&self, method: &'static str, request: &Request<T>) -> Result<Caller, Status> {
        let caller = Caller::of(request);
        let request_id = request.metadata().get("x-request-id").map(|id| id.to_str().unwrap().to_owned());
        self.calls.lock().unwrap().push(Call {
            method,
            caller: caller.clone(),
            request_id: request_id.unwrap_or_default(),
            message: format!("{:?}", request.get_ref()),
        });
        let order = self.orders.lock().unwrap().get(method).cloned();
        match order {
            None => Ok(caller),
            Some(Order::Refuse(refusal)) => Err(refusal.into()),
            Some(Order::Fail(code, message)) => Err(Status::new(code, message)),
            Some(Order::Hang) => std::future::pending().await,
        }
    }
}
