//! Reservations in Redis.
//!
//! The domain decides here, on what was read; the script saves it only if the reservation is still at that revision, and
//! answers with what it is otherwise. Stock is not compared but moved, by the difference that the domain's own
//! [`stock::apply`] makes: so orders of one popular product do not get in each other's way. Where the move would break
//! the invariant, nothing is saved, and the domain says what is missing from the counts that the script saw.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::OrderId;
use redis::{FromRedisValue, Value, cmd, from_redis_value};

use super::failure::Failure;
use super::journal::{ATTEMPTS, At, Fields, Journal, back_off, fields, number};
use crate::adapters::persistence::rows::{ReservationRow, cause_and_expiry, items, stock_of};
use crate::adapters::persistence::uncovered;
use crate::application::ports::{ChangeError, RepositoryError, ReservationRepository};
use crate::domain::error::ReservationError;
use crate::domain::lines::Line;
use crate::domain::reservation::{Change, Reservation, ReservationCommand, Transition};
use crate::domain::stock::{self, EffectError, ShelfLine, Stock, StockEffect};

/// [`ReservationRepository`] on Redis.
pub struct RedisReservations {
    journal: Journal,
}

/// What the script said.
enum Saved {
    Done,
    /// The reservation is this by now.
    Changed(Value),
    /// On hand and reserved of each line: the move would break the invariant.
    Stock(Vec<String>),
}

impl RedisReservations {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal }
    }

    async fn load(&self, order_id: OrderId) -> Result<At<Reservation>, Failure> {
        let key = self.journal.keys.reservation(order_id);
        let read = self.journal.connection.command(cmd("HGETALL").arg(key)).await;
        let value = read.map_err(|error| Failure::reading(error, "reservations", order_id))?;
        decode(order_id, fields(value, "reservations", order_id)?)
    }

    /// Decides and saves until nobody was quicker.
    async fn settle(
        &self,
        order_id: OrderId,
        mut current: At<Reservation>,
        now: Timestamp,
        decide: impl Fn(Option<Reservation>) -> Result<Option<Transition>, ReservationError>,
    ) -> Result<Option<Reservation>, ChangeError<ReservationError>> {
        for attempt in 1..=ATTEMPTS {
            let Some(transition) = decide(current.found).map_err(ChangeError::Refused)? else { return Ok(None) };
            let Transition { reservation, change } = transition;
            let Some(change) = change else { return Ok(Some(reservation)) };
            match self.save(current.revision, &reservation, change, now).await? {
                Saved::Done => return Ok(Some(reservation)),
                // What it is by now came with the answer: decided again at once.
                Saved::Changed(value) => current = decode(order_id, fields(value, "reservations", order_id)?)?,
                Saved::Stock(stocks) => {
                    refuse(&reservation, change, &stocks)?;
                    back_off(attempt).await;
                    current = self.load(order_id).await?;
                }
            }
        }
        Err(Failure::Contended.into())
    }

    async fn save(
        &self,
        revision: u64,
        reservation: &Reservation,
        change: Change,
        now: Timestamp,
    ) -> Result<Saved, Failure> {
        let (keys, order_id) = (&self.journal.keys, reservation.order_id());
        let moved = if change.effect.is_some() { reservation.lines() } else { &[] };
        let mut script = self.journal.scripts.settle.prepare_invoke();
        script.key(keys.reservation(order_id)).key(keys.orders()).key(keys.expiries()).key(keys.movements());
        script.key(keys.events()).key(keys.outbox()).key(keys.position());
        for line in moved {
            script.key(keys.product(&line.sku));
        }
        let (cause, expires_at) = cause_and_expiry(reservation.status());
        let expires_at = expires_at.map_or(String::new(), |at| at.to_string());
        script.arg(revision).arg(order_id.to_string()).arg(reservation.status().as_str()).arg(cause.unwrap_or(""));
        script.arg(expires_at).arg(serde_json::to_string(&items(reservation))?);
        script.arg(reservation.version()).arg(now.unix_ms());
        match change.event {
            Some(event) => {
                let event = self.journal.event_writer(now).of_reservation(reservation, event)?;
                script.arg(event.id.to_string()).arg(&event.event_type).arg(serde_json::to_string(&event)?)
            }
            None => script.arg("").arg("").arg(""),
        };
        script.arg(keys.channel()).arg(flag(change.cover)).arg(uncovered::reason(order_id));
        script.arg(flag(change.effect.is_some_and(StockEffect::gives_back)));
        for line in moved {
            let Some(effect) = change.effect else { break };
            let (on_hand, reserved) = difference(effect, line)?;
            let kind = effect.movement(line).map_or("", |(kind, _)| kind.as_str());
            script.arg(line.sku.as_str()).arg(on_hand).arg(reserved).arg(kind);
        }
        let answer = self.journal.connection.script::<Vec<Value>>("EVALSHA settle", &script).await;
        let mut answer = answer.map_err(|error| Failure::reading(error, "reservations", order_id))?.into_iter();
        let said: Option<String> = answer.next().and_then(|said| from_redis_value(said).ok());
        match (said.as_deref(), answer.next()) {
            (Some("saved"), found) => {
                for (line, units) in moved.iter().zip(counts(found)).filter(|(_, units)| *units > 0) {
                    uncovered::report(order_id, line.sku.as_str(), units);
                }
                for (line, _) in moved.iter().zip(counts(answer.next())).filter(|(_, passed)| *passed > 0) {
                    uncovered::report_shelfless(order_id, line);
                }
                if change.event.is_some() {
                    self.journal.appended.notify_one();
                }
                Ok(Saved::Done)
            }
            (Some("changed"), Some(current)) => Ok(Saved::Changed(current)),
            (Some("stock"), Some(stocks)) => {
                let stocks = Vec::from_redis_value(stocks).map_err(|_| Failure::corrupt("stock", order_id))?;
                Ok(Saved::Stock(stocks))
            }
            _ => Err(Failure::corrupt("reservations", order_id)),
        }
    }

    async fn expire(&self, order_id: &str, now: Timestamp) -> Result<bool, Failure> {
        let id: OrderId = order_id.parse().map_err(|_| Failure::corrupt("reservations", order_id))?;
        let current = self.load(id).await?;
        let decide = |current: Option<Reservation>| Ok(current.and_then(|current| current.expire(now)));
        match self.settle(id, current, now, decide).await {
            Ok(expired) => Ok(expired.is_some()),
            // Only a hold can be short of stock.
            Err(ChangeError::Refused(_)) => Err(Failure::corrupt("reservations", order_id)),
            Err(ChangeError::Store(RepositoryError::Corrupt { table, row })) => Err(Failure::Corrupt { table, row }),
            Err(ChangeError::Store(RepositoryError::Conflict)) => Err(Failure::Contended),
            Err(ChangeError::Store(RepositoryError::Unavailable(error))) => Err(Failure::Elsewhere(error)),
        }
    }
}

#[async_trait]
impl ReservationRepository for RedisReservations {
    async fn find(&self, order_id: OrderId) -> Result<Option<Reservation>, RepositoryError> {
        Ok(self.load(order_id).await?.found)
    }

    async fn apply(
        &self,
        order_id: OrderId,
        command: ReservationCommand,
        now: Timestamp,
    ) -> Result<Reservation, ChangeError<ReservationError>> {
        // Nearly every hold is the first of its order: asking without looking saves a round trip.
        let current = match command {
            ReservationCommand::Hold { .. } => At { revision: 0, found: None },
            _ => self.load(order_id).await?,
        };
        let decide = |current| Reservation::decide(order_id, current, command.clone(), now).map(Some);
        let settled = self.settle(order_id, current, now, decide).await?;
        settled.ok_or_else(|| Failure::corrupt("reservations", order_id).into())
    }

    async fn release_expired(&self, now: Timestamp, limit: usize) -> Result<usize, RepositoryError> {
        let mut command = cmd("ZRANGEBYSCORE");
        command.arg(self.journal.keys.expiries()).arg("-inf").arg(now.unix_ms()).arg("LIMIT").arg(0).arg(limit);
        let over: Vec<String> = self.journal.connection.command(&command).await.map_err(Failure::from)?;
        let mut released = 0;
        for order_id in over {
            match self.expire(&order_id, now).await {
                Ok(expired) => released += usize::from(expired),
                Err(Failure::Corrupt { table, row }) => {
                    tracing::error!(order.id = order_id, table, row, "a hold that ran out can't be released");
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(released)
    }

    async fn next_expiry(&self) -> Result<Option<Timestamp>, RepositoryError> {
        let mut command = cmd("ZRANGE");
        command.arg(self.journal.keys.expiries()).arg(0).arg(0).arg("WITHSCORES");
        let first: Vec<(String, f64)> = self.journal.connection.command(&command).await.map_err(Failure::from)?;
        Ok(first.first().map(|(_, at)| Timestamp::from_unix_ms(*at as i64)))
    }
}

fn decode(order_id: OrderId, mut fields: Fields) -> Result<At<Reservation>, Failure> {
    if fields.is_empty() {
        return Ok(At { revision: 0, found: None });
    }
    let mut decode = || {
        let revision = u64::try_from(number(&fields, "revision")?).ok()?;
        let expires_at = match fields.get("expires_at")?.as_str() {
            "" => None,
            at => Some(at.parse().ok()?),
        };
        let row = ReservationRow {
            status: fields.remove("status")?,
            release_cause: fields.remove("release_cause").filter(|cause| !cause.is_empty()),
            expires_at,
            lines: fields.remove("lines")?,
            version: number(&fields, "version")?,
        };
        Some(At { revision, found: Some(row.decode(order_id)?) })
    };
    decode().ok_or_else(|| Failure::corrupt("reservations", order_id))
}

const fn flag(set: bool) -> &'static str {
    if set { "1" } else { "" }
}

fn counts(answer: Option<Value>) -> Vec<u64> {
    answer.and_then(|counts| from_redis_value(counts).ok()).unwrap_or_default()
}

/// How an effect moves on hand and reserved: what the domain does to a stock on which it can do everything.
fn difference(effect: StockEffect, line: &Line) -> Result<(i64, i64), Failure> {
    let units = u64::from(line.quantity.get());
    let before = Stock::from_stored(2 * units, units).map_err(|_| Failure::corrupt("stock", &line.sku))?;
    let mut shelf = [ShelfLine { line: line.clone(), stock: Some(before) }];
    stock::apply(effect, &mut shelf).map_err(|_| Failure::corrupt("stock", &line.sku))?;
    let after = shelf[0].stock.unwrap_or(before);
    let moved = |before: u64, after: u64| after as i64 - before as i64;
    Ok((moved(before.on_hand(), after.on_hand()), moved(before.reserved(), after.reserved())))
}

/// What the domain says of an effect on these counts. `Ok`: it would allow it by now.
fn refuse(reservation: &Reservation, change: Change, stocks: &[String]) -> Result<(), ChangeError<ReservationError>> {
    let Some(effect) = change.effect else { return Ok(()) };
    let mut shelf = Vec::with_capacity(reservation.lines().len());
    for (line, counts) in reservation.lines().iter().zip(stocks.chunks(2)) {
        let stock = match counts {
            [on_hand, reserved] if !on_hand.is_empty() || !reserved.is_empty() => {
                let counts = on_hand.parse().ok().zip(reserved.parse().ok());
                let stock = counts.and_then(|(on_hand, reserved)| stock_of(on_hand, reserved));
                Some(stock.ok_or_else(|| Failure::corrupt("stock", &line.sku))?)
            }
            _ => None,
        };
        shelf.push(ShelfLine { line: line.clone(), stock });
    }
    let order_id = reservation.order_id();
    stock::apply(effect, &mut shelf).map_err(|error| match error {
        EffectError::Short(missing) => ChangeError::Refused(ReservationError::OutOfStock { order_id, missing }),
        EffectError::Mismatch(sku) => Failure::corrupt("stock", sku).into(),
    })?;
    // The script passes over unknown products where the domain does: this one is there, and has no counters.
    match shelf.iter().find(|line| line.stock.is_none()) {
        Some(damaged) => Err(Failure::corrupt("stock", &damaged.line.sku).into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use contracts::Quantity;

    use super::*;

    #[test]
    fn stock_moves_by_the_difference_that_the_domain_makes() {
        let line = Line { sku: "A".parse().unwrap(), quantity: Quantity::try_from(3).unwrap() };
        let differences =
            [StockEffect::Reserve, StockEffect::Unreserve, StockEffect::Commit, StockEffect::Return, StockEffect::Sell]
                .map(|effect| difference(effect, &line).unwrap());
        assert_eq!(differences, [(0, 3), (0, -3), (-3, -3), (3, 0), (-3, 0)]);
    }
}
