//! The events that tell of a change, whatever store they are saved in.

use std::sync::Arc;

use contracts::event::{Event, EventHead};
use contracts::event_data::{self, event_type};
use contracts::{IdGenerator, Timestamp};
use observability::RequestContext;
use serde::Serialize;

use super::rows;
use crate::domain::product::{Product, ProductEvent};
use crate::domain::reservation::{Reservation, ReservationEvent};

/// Writes the events of one change. Made in the task of the request: its context goes into them.
pub(super) struct EventWriter {
    ids: Arc<dyn IdGenerator>,
    at: Timestamp,
    context: Option<RequestContext>,
}

impl EventWriter {
    pub(super) fn new(ids: &Arc<dyn IdGenerator>, at: Timestamp) -> Self {
        Self { ids: Arc::clone(ids), at, context: RequestContext::current() }
    }

    /// The moment that the change is made.
    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    /// What happened to a product.
    pub(super) fn of_product(&self, product: &Product, event: ProductEvent) -> serde_json::Result<Event> {
        let data = event_data::ProductEvent {
            sku: product.sku().clone(),
            name: product.details().name.as_str().to_owned(),
            price: product.price().money(),
            available: product.stock().available(),
            version: product.version(),
        };
        let event_type = match event {
            ProductEvent::Created => event_type::PRODUCT_CREATED,
            ProductEvent::Updated => event_type::PRODUCT_UPDATED,
            ProductEvent::PriceChanged => event_type::PRODUCT_PRICE_CHANGED,
            ProductEvent::StockChanged => event_type::PRODUCT_STOCK_CHANGED,
        };
        self.event(event_type, product.sku().to_string(), product.version(), &data)
    }

    /// What happened to a reservation.
    pub(super) fn of_reservation(
        &self,
        reservation: &Reservation,
        event: ReservationEvent,
    ) -> serde_json::Result<Event> {
        let data = event_data::ReservationEvent {
            order_id: reservation.order_id(),
            status: reservation.status().as_str().to_owned(),
            items: rows::items(reservation),
        };
        let event_type = match event {
            ReservationEvent::Reserved => event_type::INVENTORY_RESERVED,
            ReservationEvent::Committed => event_type::INVENTORY_COMMITTED,
            ReservationEvent::Released => event_type::INVENTORY_RELEASED,
        };
        self.event(event_type, reservation.order_id().to_string(), reservation.version(), &data)
    }

    fn event<T: Serialize>(
        &self,
        event_type: &str,
        subject: String,
        aggregate_version: u64,
        data: &T,
    ) -> serde_json::Result<Event> {
        let head = EventHead {
            id: self.ids.new_uuid(),
            service: "inventory",
            event_type,
            subject,
            time: self.at,
            aggregate_version,
            traceparent: self.context.as_ref().map(RequestContext::traceparent),
            request_id: self.context.as_ref().map(|context| context.request_id().to_owned()),
        };
        Event::new(head, data)
    }
}
