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
