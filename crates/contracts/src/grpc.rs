//! gRPC clients, servers and messages generated from `proto/souk/*/v1`.
//!
//! The `.proto` files are the documentation of what is in here.

#[expect(missing_docs, unreachable_pub, clippy::pedantic, clippy::allow_attributes, reason = "generated code")]
mod souk {
    pub mod types {
        pub mod v1 {
            tonic::include_proto!("souk.types.v1");
        }
    }
    pub mod inventory {
        pub mod v1 {
            tonic::include_proto!("souk.inventory.v1");
        }
    }
    pub mod notification {
        pub mod v1 {
            tonic::include_proto!("souk.notification.v1");
        }
    }
    pub mod orders {
        pub mod v1 {
            tonic::include_proto!("souk.orders.v1");
        }
    }
    pub mod payment {
        pub mod v1 {
            tonic::include_proto!("souk.payment.v1");
        }
    }
    pub mod users {
        pub mod v1 {
            tonic::include_proto!("souk.users.v1");
        }
    }
}

pub use souk::inventory::v1 as inventory;
pub use souk::notification::v1 as notification;
pub use souk::orders::v1 as orders;
pub use souk::payment::v1 as payment;
pub use souk::types::v1 as types;
pub use souk::users::v1 as users;

mod repeatable {
    include!(concat!(env!("OUT_DIR"), "/repeatable.rs"));
}

/// Whether the call of this path (`/souk.users.v1.UsersService/GetUser`) has the same effect however often it is sent: its
/// `idempotency_level` in the .proto file says so. `false` for calls that nobody described.
pub fn is_repeatable(path: &str) -> bool {
    repeatable::marked(path)
}

mod methods {
    include!(concat!(env!("OUT_DIR"), "/methods.rs"));
}

/// The path of a call that the .proto files describe, as they write it; `None` for what a caller made up. A bounded set,
/// as the labels of metrics must be.
pub fn find_method(path: &str) -> Option<&'static str> {
    methods::find(path)
}

#[cfg(test)]
mod tests {
    use super::{find_method, is_repeatable};

    #[test]
    fn only_calls_that_are_described_are_known() {
        for path in ["/souk.orders.v1.OrdersService/PlaceOrder", "/souk.users.v1.UsersService/GetUser"] {
            assert_eq!(find_method(path), Some(path));
        }
        for path in ["", "/", "/souk.users.v1.UsersService/None", "/souk.users.v1.UsersService/getuser", "/a/b"] {
            assert_eq!(find_method(path), None, "{path}");
        }
    }

    #[test]
    fn reads_and_steps_with_a_key_of_their_own_are_repeatable_and_what_customers_ask_for_is_not() {
        for path in [
            "/souk.users.v1.UsersService/GetUser",
            "/souk.inventory.v1.InventoryService/Hold",
            "/souk.inventory.v1.InventoryService/ListProducts",
            "/souk.payment.v1.PaymentService/Charge",
            "/souk.orders.v1.OrdersService/GetOrder",
            "/souk.notification.v1.ChatService/JoinRoom",
        ] {
            assert!(is_repeatable(path), "{path}");
        }
        for path in [
            "/souk.orders.v1.OrdersService/PlaceOrder",
            "/souk.orders.v1.OrdersService/RefundOrder",
            "/souk.users.v1.UsersService/Register",
            "/souk.users.v1.UsersService/Refresh",
            "/souk.inventory.v1.InventoryService/SetStock",
            "/souk.notification.v1.ChatService/PostMessage",
            "/souk.users.v1.UsersService/None",
            "",
        ] {
            assert!(!is_repeatable(path), "{path}");
        }
    }
}
