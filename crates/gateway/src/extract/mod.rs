//! Typed readers of a request. They check types and bounds of the transport; what values mean is for the services to judge.

pub mod authenticated;
pub mod body;
pub mod credentials;
pub mod decode;
pub mod idempotency_key;
mod objects_only;
pub mod path;
pub mod query;
pub mod session_cookie;

pub use authenticated::{Access, Authenticated, Caller};
pub use body::{JsonBody, OptionalJsonBody};
pub use idempotency_key::IdempotencyKey;
pub use path::{ChatRoomPath, NotificationPath, OrderPath, PaymentPath, SkuPath, UserPath};
pub use query::QueryParams;
