//! Both ports in memory, for tests alone: a running service refuses `memory://`.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use contracts::event::Event;
use contracts::ids::OrderId;
use contracts::{IdGenerator, Sku, Timestamp};

use super::events::EventWriter;
use super::rows::search_text;
use super::uncovered;
use crate::application::ports::{
    CatalogueRepository, ChangeError, ProductPage, ProductQuery, RepositoryError, ReservationRepository,
};
use crate::domain::error::{CatalogueError, ReservationError};
use crate::domain::product::{Product, ProductChange, ProductCommand};
use crate::domain::reservation::{Reservation, ReservationCommand, Status, Transition};
use crate::domain::stock::{self, EffectError, MovementKind, ShelfLine, Stock};

/// [`CatalogueRepository`] and [`ReservationRepository`] in memory. Clones share what is kept.
#[derive(Clone)]
pub struct InMemoryStore {
    kept: Arc<Mutex<Kept>>,
    ids: Arc<dyn IdGenerator>,
}

#[derive(Default)]
struct Kept {
    products: BTreeMap<Sku, Product>,
    reservations: BTreeMap<OrderId, Reservation>,
    ledger: Vec<(Sku, MovementKind, i64)>,
    events: Vec<Event>,
}

impl InMemoryStore {
    /// An empty store.
    pub fn new(ids: Arc<dyn IdGenerator>) -> Self {
        Self { kept: Arc::default(), ids }
    }

    /// The events of all changes, in order.
    pub fn events(&self) -> Vec<Event> {
        self.kept().events.clone()
    }

    /// The stock ledger: what, of which kind, units that came or went.
    pub fn ledger(&self) -> Vec<(Sku, MovementKind, i64)> {
        self.kept().ledger.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked did so in a test, which has failed by then.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events_at(&self, at: Timestamp) -> EventWriter {
        EventWriter::new(&self.ids, at)
    }
}

fn unwritable(error: serde_json::Error) -> RepositoryError {
    RepositoryError::Unavailable(Box::new(error))
}

#[async_trait]
impl CatalogueRepository for InMemoryStore {
    async fn find(&self, sku: Sku) -> Result<Option<Product>, RepositoryError> {
        Ok(self.kept().products.get(&sku).cloned())
    }

    async fn find_many(&self, skus: Vec<Sku>) -> Result<Vec<Product>, RepositoryError> {
        let (kept, mut seen) = (self.kept(), HashSet::new());
        Ok(skus.iter().filter(|sku| seen.insert(*sku)).filter_map(|sku| kept.products.get(sku).cloned()).collect())
    }

    async fn list(&self, query: ProductQuery) -> Result<ProductPage, RepositoryError> {
        let search = query.search.to_lowercase();
        let wanted = |product: &&Product| {
            let tags = product.details().tags.as_slice();
            query.after.as_ref().is_none_or(|after| product.sku() > after)
                && query.tags.iter().all(|tag| tags.contains(tag))
                && search_text(product).contains(&search)
        };
        let mut items: Vec<Product> =
            self.kept().products.values().filter(wanted).take(query.limit + 1).cloned().collect();
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = if more { items.last().map(|last| last.sku().clone()) } else { None };
        Ok(ProductPage { items, next })
    }

    async fn add(&self, product: Product, change: ProductChange) -> Result<(), ChangeError<CatalogueError>> {
        let mut kept = self.kept();
        if kept.products.contains_key(product.sku()) {
            return Err(ChangeError::Refused(CatalogueError::Exists(product.sku().clone())));
        }
        let events = self.events_at(product.updated_at());
        kept.save_product(&events, product, change).map_err(ChangeError::Store)
    }

    async fn change(
        &self,
        sku: Sku,
        command: ProductCommand,
        now: Timestamp,
    ) -> Result<Product, ChangeError<CatalogueError>> {
        let mut kept = self.kept();
        let mut product =
            kept.products.get(&sku).cloned().ok_or(ChangeError::Refused(CatalogueError::NotFound(sku)))?;
        if let Some(change) = product.apply(command, now).map_err(ChangeError::Refused)? {
            kept.save_product(&self.events_at(now), product.clone(), change).map_err(ChangeError::Store)?;
        }
        Ok(product)
    }
}

#[async_trait]
impl ReservationRepository for InMemoryStore {
    async fn find(&self, order_id: OrderId) -> Result<Option<Reservation>, RepositoryError> {
        Ok(self.kept().reservations.get(&order_id).cloned())
    }

    async fn apply(
        &self,
        order_id: OrderId,
        command: ReservationCommand,
        now: Timestamp,
    ) -> Result<Reservation, ChangeError<ReservationError>> {
        let mut kept = self.kept();
        let current = kept.reservations.get(&order_id).cloned();
        let transition = Reservation::decide(order_id, current, command, now).map_err(ChangeError::Refused)?;
        kept.save_reservation(&self.events_at(now), transition)
    }

    async fn release_expired(&self, now: Timestamp, limit: usize) -> Result<usize, RepositoryError> {
        let mut kept = self.kept();
        let mut over: Vec<_> = kept.reservations.values().filter_map(|found| found.clone().expire(now)).collect();
        over.sort_by_key(|expired| kept.expiry_of(expired.reservation.order_id()));
        over.truncate(limit);
        let (released, events) = (over.len(), self.events_at(now));
        for expired in over {
            match kept.save_reservation(&events, expired) {
                Ok(_) => {}
                Err(ChangeError::Store(error)) => return Err(error),
                // Only what takes goods can be short of them.
                Err(ChangeError::Refused(error)) => {
                    return Err(RepositoryError::Corrupt { table: "stock", row: error.to_string() });
                }
            }
        }
        Ok(released)
    }

    async fn next_expiry(&self) -> Result<Option<Timestamp>, RepositoryError> {
        let kept = self.kept();
        Ok(kept.reservations.keys().filter_map(|order_id| kept.expiry_of(*order_id)).min())
    }
}

impl Kept {
    fn expiry_of(&self, order_id: OrderId) -> Option<Timestamp> {
        match self.reservations.get(&order_id)?.status() {
            Status::Held { expires_at } => Some(expires_at),
            _ => None,
        }
    }

    fn save_product(
        &mut self,
        events: &EventWriter,
        product: Product,
        change: ProductChange,
    ) -> Result<(), RepositoryError> {
        self.events.push(events.of_product(&product, change.event).map_err(unwritable)?);
        if let Some(movement) = change.movement {
            self.ledger.push((product.sku().clone(), MovementKind::Counted, movement.quantity));
        }
        self.products.insert(product.sku().clone(), product);
        Ok(())
    }

    /// All or nothing: what can be refused is decided before anything is kept.
    fn save_reservation(
        &mut self,
        events: &EventWriter,
        transition: Transition,
    ) -> Result<Reservation, ChangeError<ReservationError>> {
        let Transition { reservation, change } = transition;
        let Some(change) = change else { return Ok(reservation) };
        let order_id = reservation.order_id();
        let event = change.event.map(|event| events.of_reservation(&reservation, event)).transpose();
        let event = event.map_err(|error| ChangeError::Store(unwritable(error)))?;
        if let Some(effect) = change.effect {
            let stock = |sku: &Sku| self.products.get(sku).map(Product::stock);
            let lines = reservation.lines().iter();
            let mut shelf: Vec<_> =
                lines.map(|line| ShelfLine { line: line.clone(), stock: stock(&line.sku) }).collect();
            let missing = if change.cover { stock::cover(&mut shelf) } else { Vec::new() };
            stock::apply(effect, &mut shelf).map_err(|error| match error {
                EffectError::Short(missing) => ChangeError::Refused(ReservationError::OutOfStock { order_id, missing }),
                EffectError::Mismatch(sku) => {
                    ChangeError::Store(RepositoryError::Corrupt { table: "stock", row: sku.to_string() })
                }
            })?;
            for found in missing {
                uncovered::report(order_id, found.sku.as_str(), found.units);
                self.ledger.push((found.sku, MovementKind::Counted, found.units as i64));
            }
            for ShelfLine { line, stock } in shelf {
                if stock.is_none() {
                    uncovered::report_shelfless(order_id, &line);
                    continue;
                }
                if let Some((kind, quantity)) = effect.movement(&line) {
                    self.ledger.push((line.sku.clone(), kind, quantity));
                }
                self.set_stock(&line.sku, stock);
            }
        }
        self.events.extend(event);
        self.reservations.insert(order_id, reservation.clone());
        Ok(reservation)
    }

    /// What is not in the catalogue has no stock to be kept.
    fn set_stock(&mut self, sku: &Sku, stock: Option<Stock>) {
        let Some((product, stock)) = self.products.get_mut(sku).zip(stock) else { return };
        *product = Product::from_stored(
            sku.clone(),
            product.details().clone(),
            product.price(),
            stock,
            product.version(),
            product.updated_at(),
        );
    }
}
