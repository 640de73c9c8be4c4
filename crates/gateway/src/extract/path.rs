//! Ids in paths. What is no id names nothing: the answer is the same 404 as for an id that nobody has.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use contracts::ids::{ChatRoomId, NotificationId, OrderId, UserId};
use contracts::{Reason, Sku};

use crate::problem::Problem;

macro_rules! path_id {
    ($(#[$doc:meta])* $name:ident($value:ty) from $segment:literal or $reason:ident) => {
        $(#[$doc])*
        pub struct $name(pub $value);

        impl FromRequest for $name {
            type Error = Problem;
            type Future = Ready<Result<Self, Problem>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                let segment = request.match_info().query($segment);
                ready(segment.parse().map(Self).map_err(|_| Problem::of(Reason::$reason)))
            }
        }
    };
}

path_id! {
    /// `{id}` of an order.
    OrderPath(OrderId) from "id" or OrderNotFound
}
path_id! {
    /// `{order_id}` of an order that was paid.
    PaymentPath(OrderId) from "order_id" or PaymentNotFound
}
path_id! {
    /// `{id}` of a user.
    UserPath(UserId) from "id" or UserNotFound
}
path_id! {
    /// `{id}` of a notification.
    NotificationPath(NotificationId) from "id" or NotificationNotFound
}
path_id! {
    /// `{id}` of a chat room.
    ChatRoomPath(ChatRoomId) from "id" or ChatRoomNotFound
}
path_id! {
    /// `{sku}` of a product.
    SkuPath(Sku) from "sku" or ProductNotFound
}
