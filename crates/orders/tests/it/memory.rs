//! Orders in memory. For tests alone (docs/adr/0019): it shows what the port asks for with nothing underneath, and it must
//! pass the suite that the real stores pass.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::event_data::{OrderData, OrderStatus};
use contracts::ids::{OrderId, UserId};
use observability::Cause;
use orders::application::ports::{
    Change, ChangedOrders, IdempotencyRecord, OrderFilter, OrderRepository, RepositoryError, Unfinished,
};
use orders::domain::{Order, OrderEvent, Saga};

const KEY_TTL: Duration = Duration::from_hours(24);

#[derive(Default)]
pub(crate) struct InMemoryOrderRepository(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    orders: BTreeMap<OrderId, (Order, Saga)>,
    keys: BTreeMap<(UserId, String), IdempotencyRecord>,
    events: Vec<OrderEvent>,
    causes: BTreeMap<OrderId, Cause>,
}

impl Tables {
    fn fresh_key(&self, user_id: UserId, key: &str, now: Timestamp) -> Option<IdempotencyRecord> {
        let record = self.keys.get(&(user_id, key.to_owned()));
        record.filter(|record| now.since(record.created_at) < KEY_TTL).cloned()
    }
}

#[async_trait]
impl OrderRepository for InMemoryOrderRepository {
    async fn place(
        &self,
        order: Order,
        event: OrderEvent,
        saga: Saga,
        key: Option<IdempotencyRecord>,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        if tables.orders.contains_key(&order.id()) {
            return Err(RepositoryError::Conflict);
        }
        if let Some(key) = key {
            if let Some(taken) = tables.fresh_key(key.user_id, &key.key, key.created_at) {
                return Ok(Some(taken));
            }
            tables.keys.insert((key.user_id, key.key.clone()), key);
        }
        tables.causes.extend(Cause::current().map(|cause| (order.id(), cause)));
        tables.orders.insert(order.id(), (order, saga));
        tables.events.push(event);
        Ok(None)
    }

    async fn find_key(
        &self,
        user_id: UserId,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRecord>, RepositoryError> {
        Ok(self.0.lock().unwrap().fresh_key(user_id, key, now))
    }

    async fn find(&self, id: OrderId) -> Result<Option<Order>, RepositoryError> {
        Ok(self.find_with_saga(id).await?.map(|(order, _)| order))
    }

    async fn find_with_saga(&self, id: OrderId) -> Result<Option<(Order, Saga)>, RepositoryError> {
        Ok(self.0.lock().unwrap().orders.get(&id).cloned())
    }

    async fn save(&self, change: Change) -> Result<(), RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        let stored = tables.orders.get_mut(&change.saga.parts().order_id).ok_or(RepositoryError::Conflict)?;
        let order_is_fresh = change.order.as_ref().is_none_or(|(order, _)| order.version() == stored.0.version() + 1);
        if change.saga.parts().version != stored.1.parts().version + 1 || !order_is_fresh {
            return Err(RepositoryError::Conflict);
        }
        stored.1 = change.saga;
        if let Some((order, event)) = change.order {
            stored.0 = order;
            tables.events.push(event);
        }
        Ok(())
    }

    async fn claim_due(
        &self,
        now: Timestamp,
        owner: &str,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Order, Saga)>, RepositoryError> {
        let mut tables = self.0.lock().unwrap();
        let is_due = |saga: &Saga| saga.parts().due_at.is_some_and(|due_at| due_at <= now);
        let mut due: Vec<_> = tables.orders.values_mut().filter(|(_, saga)| is_due(saga)).collect();
        due.sort_by_key(|(_, saga)| saga.parts().due_at);
        let claim = |(order, saga): &mut (Order, Saga)| {
            saga.take_over(owner.to_owned(), lease_until);
            saga.next_version();
            (order.clone(), saga.clone())
        };
        Ok(due.into_iter().take(limit).map(claim).collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, RepositoryError> {
        Ok(self.0.lock().unwrap().orders.values().filter_map(|(_, saga)| saga.parts().due_at).min())
    }

    async fn count_unfinished(&self) -> Result<Unfinished, RepositoryError> {
        let tables = self.0.lock().unwrap();
        let unfinished = || tables.orders.values().filter(|(_, saga)| saga.parts().due_at.is_some());
        let pending = unfinished().filter(|(order, _)| order.status() == OrderStatus::Pending);
        Ok(Unfinished {
            sagas: unfinished().count() as u64,
            oldest_pending: pending.map(|(order, _)| order.created_at()).min(),
        })
    }

    /// It is empty when it is new, and its users live as long as it does.
    async fn release_leases_of_the_dead(&self, _: Timestamp) -> Result<usize, RepositoryError> {
        Ok(0)
    }

    async fn list(&self, filter: OrderFilter, limit: usize) -> Result<Vec<Order>, RepositoryError> {
        let tables = self.0.lock().unwrap();
        let fits = |order: &&Order| {
            filter.user_id.is_none_or(|id| order.user_id() == id)
                && filter.before.is_none_or(|before| order.id() < before)
                && (filter.statuses.is_empty() || filter.statuses.contains(&order.status()))
        };
        Ok(tables.orders.values().rev().map(|(order, _)| order).filter(fits).take(limit).cloned().collect())
    }

    async fn find_cause(&self, order_id: OrderId) -> Result<Option<Cause>, RepositoryError> {
        Ok(self.0.lock().unwrap().causes.get(&order_id).cloned())
    }

    async fn timeline(&self, id: OrderId) -> Result<Vec<OrderData>, RepositoryError> {
        let tables = self.0.lock().unwrap();
        Ok(tables.events.iter().filter(|event| event.data.id == id).map(|event| event.data.clone()).collect())
    }

    async fn changed_since(&self, after: u64, limit: usize) -> Result<ChangedOrders, RepositoryError> {
        let tables = self.0.lock().unwrap();
        let last: BTreeMap<OrderId, u64> = (1..).zip(&tables.events).map(|(n, event)| (event.data.id, n)).collect();
        let mut changed: Vec<(u64, Order, Saga)> = last
            .iter()
            .filter(|(_, position)| **position > after)
            .map(|(id, position)| (*position, tables.orders[id].0.clone(), tables.orders[id].1.clone()))
            .collect();
        changed.sort_by_key(|(position, ..)| *position);
        changed.truncate(limit);
        let owed = tables.orders.iter().filter(|(_, (_, saga))| saga.parts().due_at.is_some());
        let settled = owed.map(|(id, _)| last[id] - 1).min().unwrap_or(tables.events.len() as u64);
        Ok(ChangedOrders { orders: changed, settled })
    }

    async fn forget_old_keys(&self, now: Timestamp) -> Result<usize, RepositoryError> {
        let keys = &mut self.0.lock().unwrap().keys;
        let before = keys.len();
        keys.retain(|_, record| record.created_at >= now.minus(KEY_TTL));
        Ok(before - keys.len())
    }
}
