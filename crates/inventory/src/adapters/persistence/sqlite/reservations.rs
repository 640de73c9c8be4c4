//! Reservations in SQLite.

use async_trait::async_trait;
use contracts::Timestamp;
use contracts::ids::OrderId;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::failure::Failure;
use super::journal::{Journal, append, unwritable};
use super::{find_stock, save_stock};
use crate::adapters::persistence::events::EventWriter;
use crate::adapters::persistence::rows::{ReservationRow, cause_and_expiry, items};
use crate::adapters::persistence::uncovered;
use crate::application::ports::{ChangeError, RepositoryError, ReservationRepository};
use crate::domain::error::ReservationError;
use crate::domain::reservation::{Reservation, ReservationCommand, Transition};
use crate::domain::stock::{self, EffectError, MovementKind, ShelfLine, StockEffect, Uncovered};

/// [`ReservationRepository`] on SQLite.
pub struct SqliteReservations {
    journal: Journal,
}

impl SqliteReservations {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal }
    }
}

#[async_trait]
impl ReservationRepository for SqliteReservations {
    async fn find(&self, order_id: OrderId) -> Result<Option<Reservation>, RepositoryError> {
        Ok(self.journal.read("find reservation", move |connection| load(connection, order_id)).await?)
    }

    async fn apply(
        &self,
        order_id: OrderId,
        command: ReservationCommand,
        now: Timestamp,
    ) -> Result<Reservation, ChangeError<ReservationError>> {
        let quiet = command == ReservationCommand::Pin;
        let work = move |connection: &Connection, events: &EventWriter| {
            let current = load(connection, order_id).map_err(Failure::widen)?;
            let transition = Reservation::decide(order_id, current, command, events.at()).map_err(Failure::Refused)?;
            save(connection, events, transition)
        };
        Ok(if quiet {
            self.journal.write_quietly("settle reservation", now, work).await?
        } else {
            self.journal.write("settle reservation", now, work).await?
        })
    }

    async fn release_expired(&self, now: Timestamp, limit: usize) -> Result<usize, RepositoryError> {
        let work = move |connection: &Connection, events: &EventWriter| {
            let mut released = 0;
            for order_id in run_out(connection, now, limit)? {
                match expire(connection, events, &order_id) {
                    Ok(expired) => released += usize::from(expired),
                    Err(Failure::Corrupt { table, row }) => {
                        tracing::error!(order.id = order_id, table, row, "a hold that ran out can't be released");
                    }
                    Err(failure) => return Err(failure),
                }
            }
            Ok(released)
        };
        Ok(self.journal.write("release expired", now, work).await?)
    }

    async fn next_expiry(&self) -> Result<Option<Timestamp>, RepositoryError> {
        let work = |connection: &Connection| {
            let mut statement =
                connection.prepare_cached("SELECT min(expires_at) FROM reservations WHERE status = 'held'")?;
            Ok(statement.query_row([], |row| row.get::<_, Option<i64>>(0))?)
        };
        Ok(self.journal.read("next expiry", work).await?.map(Timestamp::from_unix_ms))
    }
}

fn run_out(connection: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT order_id FROM reservations WHERE status = 'held' AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2",
    )?;
    let rows = statement.query_map((now.unix_ms(), limit as i64), |row| row.get(0))?;
    rows.collect()
}

fn expire(connection: &Connection, events: &EventWriter, order_id: &str) -> Result<bool, Failure> {
    let id: OrderId = order_id.parse().map_err(|_| Failure::corrupt("reservations", order_id))?;
    let Some(transition) = load(connection, id)?.and_then(|reservation| reservation.expire(events.at())) else {
        return Ok(false);
    };
    match save(connection, events, transition) {
        Ok(_) => Ok(true),
        Err(Failure::Store(error)) => Err(Failure::Store(error)),
        Err(Failure::Corrupt { table, row }) => Err(Failure::Corrupt { table, row }),
        // Only a hold can be short of stock.
        Err(Failure::Refused(_)) => Err(Failure::corrupt("reservations", order_id)),
    }
}

fn load(connection: &Connection, order_id: OrderId) -> Result<Option<Reservation>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT status, release_cause, expires_at, lines, version FROM reservations WHERE order_id = ?1",
    )?;
    let row = statement.query_row([order_id.to_string()], read_row).optional()?;
    row.map(|row| row.decode(order_id).ok_or_else(|| Failure::corrupt("reservations", order_id))).transpose()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<ReservationRow> {
    Ok(ReservationRow {
        status: row.get(0)?,
        release_cause: row.get(1)?,
        expires_at: row.get(2)?,
        lines: row.get(3)?,
        version: row.get(4)?,
    })
}

/// Saves a transition with everything that it brings about.
fn save(
    connection: &Connection,
    events: &EventWriter,
    transition: Transition,
) -> Result<Reservation, Failure<ReservationError>> {
    let Transition { reservation, change } = transition;
    let Some(change) = change else { return Ok(reservation) };
    if let Some(effect) = change.effect {
        move_stock(connection, events, &reservation, effect, change.cover)?;
    }
    save_row(connection, events, &reservation)?;
    if let Some(event) = change.event {
        append(connection, events.of_reservation(&reservation, event))?;
    }
    Ok(reservation)
}

fn move_stock(
    connection: &Connection,
    events: &EventWriter,
    reservation: &Reservation,
    effect: StockEffect,
    cover: bool,
) -> Result<(), Failure<ReservationError>> {
    let mut shelf = Vec::with_capacity(reservation.lines().len());
    for line in reservation.lines() {
        let stock = find_stock(connection, line.sku.as_str()).map_err(Failure::widen)?;
        shelf.push(ShelfLine { line: line.clone(), stock });
    }
    let order_id = reservation.order_id();
    if cover {
        for Uncovered { sku, units } in stock::cover(&mut shelf) {
            uncovered::report(order_id, sku.as_str(), units);
            connection
                .prepare_cached(
                    "INSERT INTO stock_movements (sku, kind, quantity, order_id, reason, at) VALUES (?1, ?2, ?3, NULL, ?4, ?5)",
                )?
                .execute((
                    sku.as_str(),
                    MovementKind::Counted.as_str(),
                    units as i64,
                    uncovered::reason(order_id),
                    events.at().unix_ms(),
                ))?;
        }
    }
    stock::apply(effect, &mut shelf).map_err(|error| match error {
        EffectError::Short(missing) => Failure::Refused(ReservationError::OutOfStock { order_id, missing }),
        EffectError::Mismatch(sku) => Failure::corrupt("stock", sku),
    })?;
    for ShelfLine { line, stock } in &shelf {
        let Some(stock) = stock else {
            uncovered::report_shelfless(order_id, line);
            continue;
        };
        save_stock(connection, line.sku.as_str(), *stock)?;
        if let Some((kind, quantity)) = effect.movement(line) {
            connection
                .prepare_cached(
                    "INSERT INTO stock_movements (sku, kind, quantity, order_id, reason, at) VALUES (?1, ?2, ?3, ?4, '', ?5)",
                )?
                .execute((
                    line.sku.as_str(),
                    kind.as_str(),
                    quantity,
                    order_id.to_string(),
                    events.at().unix_ms(),
                ))?;
        }
    }
    Ok(())
}

fn save_row(connection: &Connection, events: &EventWriter, reservation: &Reservation) -> rusqlite::Result<()> {
    let lines = serde_json::to_string(&items(reservation)).map_err(unwritable)?;
    let (release_cause, expires_at) = cause_and_expiry(reservation.status());
    connection
        .prepare_cached(
            "INSERT INTO reservations (order_id, status, release_cause, expires_at, lines, version, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (order_id) DO UPDATE SET status = ?2, release_cause = ?3, expires_at = ?4, lines = ?5,
                 version = ?6, updated_at = ?7",
        )?
        .execute((
            reservation.order_id().to_string(),
            reservation.status().as_str(),
            release_cause,
            expires_at,
            lines,
            reservation.version() as i64,
            events.at().unix_ms(),
        ))?;
    Ok(())
}
