//! `order:<id>`: what the bus says about an order, to those who watch it.
//!
//! An order's own version is the channel's: it grows by one with every event. The event has the whole order, in the shape of the
//! REST API.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event_data::OrderData;
use contracts::{Clock, Event};
use messaging::{ConsumeError, EventHandler};
use socketio::SocketIo;

use super::ports::WatchedChannels;
use super::sales::Sales;
use super::update::{self, Change};
use super::watching::Watchers;
use super::{Channel, metrics};

/// What the queue is called.
pub const QUEUE: &str = "gateway.live.orders";
/// What goes into it.
pub const BINDINGS: &[&str] = &["order.*"];

/// Publishes the events of orders that somebody watches, and counts all of them.
pub struct OrderUpdates {
    /// Where updates go.
    pub io: SocketIo,
    /// Who watches, anywhere.
    pub watched: Arc<dyn WatchedChannels>,
    /// Who watches, here.
    pub watchers: Arc<Watchers>,
    /// What the dashboard shows of orders.
    pub sales: Arc<Sales>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl EventHandler for OrderUpdates {
    async fn handle(&self, event: &Event) -> Result<(), ConsumeError> {
        let order: OrderData =
            event.data().map_err(|error| ConsumeError::Poison(format!("its data can't be read: {error}")))?;
        let channel = Channel::Order(order.id);
        let is_watched = self.watched.are_watched(std::slice::from_ref(&channel)).await;
        let is_watched = is_watched.map_err(|error| ConsumeError::Transient(error.to_string()))?.contains(&true);
        // Only now, that a retry is not counted twice.
        let now = self.clock.now();
        self.sales.record(&order, event.time, now);
        if is_watched {
            update::publish(&self.io, &channel, order.version, Change::Data(&order))
                .map_err(|error| ConsumeError::Poison(error.to_string()))?;
            super::stored(&self.io).await.map_err(|error| ConsumeError::Transient(error.to_string()))?;
            metrics::published(metrics::ORDER, 1, now.since(event.time));
        }
        Ok(())
    }

    async fn catch_up(&self) {
        for channel in self.watchers.channels() {
            if matches!(channel, Channel::Order(_))
                && let Err(error) = update::resync(&self.io, &channel)
            {
                tracing::error!(%channel, %error, "watchers can't be told that they missed something");
            }
        }
    }
}
