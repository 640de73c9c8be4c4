//! The ports' contract after a loss: what orders are owed although the store, or the catalogue, forgot it.

use inventory::domain::claim::Claim;
use inventory::domain::error::ReservationError;
use inventory::domain::reservation::{ReleaseCause, ReservationCommand, Status};

use crate::contract::{Stores, sku};
use crate::helpers::lines;

pub(crate) async fn what_was_forgotten_is_restored_and_what_is_missing_is_booked_as_found(stores: Stores) {
    stores.add("A", "A", 5, &[]).await;
    stores.add("B", "B", 5, &[]).await;
    let restore =
        |claim, items: &[(&str, u32)], cover| ReservationCommand::Restore { claim, lines: lines(items), cover };
    let pinned = stores.ask(1, restore(Claim::Promised, &[("A", 2)], false)).await.unwrap();
    assert_eq!(pinned.status(), Status::Pinned);
    let sold = stores.ask(2, restore(Claim::Sold, &[("A", 1), ("B", 1)], false)).await.unwrap();
    assert_eq!(sold.status(), Status::Committed);
    assert_eq!((stores.stock("A").await, stores.stock("B").await), ((4, 2), (4, 0)));
    for claim in [Claim::Promised, Claim::Sold] {
        let short = stores.ask(3, restore(claim, &[("B", 1), ("A", 3)], false)).await;
        assert!(matches!(short, Err(ReservationError::OutOfStock { .. })), "{short:?}");
    }
    assert_eq!((stores.stock("A").await, stores.stock("B").await), ((4, 2), (4, 0)), "all or nothing");
    // What is promised stays promised: only what is free is taken, and the rest is booked as found.
    let covered = stores.ask(3, restore(Claim::Sold, &[("B", 1), ("A", 3)], true)).await.unwrap();
    assert_eq!(covered.status(), Status::Committed);
    assert_eq!((stores.stock("A").await, stores.stock("B").await), ((2, 2), (3, 0)));
    let unknown = stores.ask(4, restore(Claim::Sold, &[("GONE", 1)], true)).await.unwrap();
    assert_eq!(unknown.status(), Status::Committed);
    assert_eq!(stores.catalogue.find(sku("GONE")).await.unwrap(), None, "nothing half made comes of it");
    let free = stores.ask(1, restore(Claim::Free, &[("A", 2)], false)).await.unwrap();
    assert_eq!(free.status(), Status::Released(ReleaseCause::Verdict));
    let returned = stores.ask(2, restore(Claim::Free, &[("A", 1), ("B", 1)], false)).await.unwrap();
    assert_eq!(returned.status(), Status::Returned);
    assert_eq!((stores.stock("A").await, stores.stock("B").await), ((3, 0), (4, 0)));
}

pub(crate) async fn what_is_given_back_of_an_unknown_product_ends_the_order_all_the_same(stores: Stores) {
    stores.add("A", "A", 5, &[]).await;
    let bought = || lines(&[("GONE", 1), ("A", 2)]);
    let restore = |claim, cover| ReservationCommand::Restore { claim, lines: bought(), cover };
    for (n, give_back) in [(1, ReservationCommand::Return), (2, restore(Claim::Free, false))] {
        stores.ask(n, restore(Claim::Sold, true)).await.unwrap();
        assert_eq!(stores.stock("A").await, (3, 0));
        for _ in 0..2 {
            let returned = stores.ask(n, give_back.clone()).await.unwrap();
            assert_eq!((returned.status(), returned.version()), (Status::Returned, 2));
        }
        assert_eq!(stores.stock("A").await, (5, 0), "what is known goes back to its shelf");
        assert_eq!(stores.catalogue.find(sku("GONE")).await.unwrap(), None);
    }
    stores.add("GONE", "Found again", 3, &[]).await;
    assert_eq!(stores.stock("GONE").await, (3, 0));
}
