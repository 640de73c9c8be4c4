//! What crosses a service border, and nothing else: generated gRPC code, event types, refusals, money and ids.
//!
//! - [`grpc`]: clients and servers generated from `proto/souk/*/v1`;
//! - [`event`], [`event_data`]: CloudEvents as they travel on the bus;
//! - [`refusal`]: every reason a service may give for saying no, with its gRPC code, HTTP status and advice;
//! - [`audit`]: how an audit across stores pages through each;
//! - [`money`], [`ids`], [`values`], [`timestamp`]: values parsed once, shared by all services.

pub mod audit;
pub mod event;
pub mod event_data;
pub mod grpc;
pub mod ids;
pub mod money;
pub mod refusal;
pub mod roles;
pub mod timestamp;
pub mod values;

pub use event::Event;
pub use ids::IdGenerator;
pub use money::Money;
pub use refusal::{Reason, Refusal};
pub use roles::Role;
pub use timestamp::{Clock, Timestamp};
pub use values::{Quantity, Sku};
