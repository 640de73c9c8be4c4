//! What the rules say no with.

use contracts::Sku;
use contracts::ids::OrderId;

use super::stock::Shortage;

/// Why a product did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// No product has the sku.
    #[error("there is no product {0}")]
    NotFound(Sku),
    /// Another product has the sku.
    #[error("there is a product {0} already")]
    Exists(Sku),
    /// Fewer units would be on hand than are reserved.
    #[error("{reserved} of {sku} are reserved, so {wanted} can't be all that is on hand")]
    StockBelowReserved {
        /// What.
        sku: Sku,
        /// Units that were to be on hand.
        wanted: u64,
        /// Units reserved.
        reserved: u64,
    },
}

/// Why a reservation did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReservationError {
    /// Not everything is there; nothing was held.
    #[error("{}", describe(missing))]
    OutOfStock {
        /// Whose order.
        order_id: OrderId,
        /// Every item of which there is not enough.
        missing: Vec<Shortage>,
    },
    /// The hold ran out.
    #[error("the hold of order {0} ran out")]
    HoldExpired(OrderId),
    /// No transition leads from where it stands to where it should go.
    #[error("the reservation of order {order_id} is {status}: {wanted}")]
    Closed {
        /// Whose order.
        order_id: OrderId,
        /// Where it stands.
        status: &'static str,
        /// What can't be done, as a clause.
        wanted: &'static str,
    },
    /// The order never held anything.
    #[error("order {0} holds no stock")]
    NotFound(OrderId),
}

/// Most items that the sentence names; a program reads all of them elsewhere.
const MAX_DESCRIBED: usize = 5;

fn describe(missing: &[Shortage]) -> String {
    let named = missing.iter().take(MAX_DESCRIBED);
    let mut items: Vec<String> = named
        .map(|Shortage { sku, requested, available }| format!("{requested} of {sku} wanted, {available} available"))
        .collect();
    if missing.len() > MAX_DESCRIBED {
        items.push(format!("{} more are short", missing.len() - MAX_DESCRIBED));
    }
    items.join("; ")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_refusal_names_what_is_missing_and_stays_a_sentence() {
        let short = |sku: &str, requested, available| Shortage { sku: sku.parse().unwrap(), requested, available };
        let refused = |missing| {
            ReservationError::OutOfStock { order_id: OrderId::from_uuid(Uuid::from_u128(7)), missing }.to_string()
        };
        let both = refused(vec![short("A", 3, 1), short("B", 1, 0)]);
        assert_eq!(both, "3 of A wanted, 1 available; 1 of B wanted, 0 available");
        let many = refused(vec![short("A", 3, 1); MAX_DESCRIBED + 2]);
        assert!(many.ends_with("; 3 of A wanted, 1 available; 2 more are short"), "{many}");
    }
}
