//! Cases of the ports' contract in which many ask at once.

use std::sync::Arc;
use std::time::Duration;

use contracts::Money;
use contracts::money::Currency;
use inventory::application::ports::ChangeError;
use inventory::domain::error::CatalogueError;
use inventory::domain::product::ProductCommand;
use inventory::domain::reservation::{ReleaseCause, ReservationCommand, Status};
use inventory::domain::values::Price;

use crate::contract::{Stores, hold, named, sku};
use crate::helpers::{START, order};

pub(crate) async fn of_concurrent_changes_of_one_product_none_is_lost(stores: Stores) {
    stores.add("A", "A", 0, &[]).await;
    let stores = Arc::new(stores);
    let changes: Vec<_> = (1..=20_u32)
        .map(|n| {
            let stores = Arc::clone(&stores);
            let price = Price::new(Money::new(i64::from(n), Currency::USD).unwrap()).unwrap();
            tokio::spawn(async move { stores.catalogue.change(sku("A"), ProductCommand::SetPrice(price), START).await })
        })
        .collect();
    let mut versions = Vec::new();
    for change in changes {
        versions.push(change.await.unwrap().unwrap().version());
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..=21).collect::<Vec<u64>>(), "each was decided on what the one before it left");
    assert_eq!(stores.catalogue.find(sku("A")).await.unwrap().unwrap().version(), 21);
}

pub(crate) async fn of_concurrent_products_with_one_sku_one_is_added(stores: Stores) {
    let stores = Arc::new(stores);
    let adds: Vec<_> = (0..10_u64)
        .map(|n| {
            let stores = Arc::clone(&stores);
            let (product, change) = named("A", &format!("Name {n}"), n, &[]);
            tokio::spawn(async move { stores.catalogue.add(product.clone(), change).await.map(|()| product) })
        })
        .collect();
    let mut added = Vec::new();
    for add in adds {
        match add.await.unwrap() {
            Ok(product) => added.push(product),
            Err(ChangeError::Refused(CatalogueError::Exists(_))) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(added.len(), 1);
    assert_eq!(stores.catalogue.find(sku("A")).await.unwrap(), added.pop());
}

pub(crate) async fn of_concurrent_holds_as_many_succeed_as_there_is_stock_for(stores: Stores) {
    stores.add("A", "A", 25, &[]).await;
    stores.add("B", "B", 1_000, &[]).await;
    let stores = Arc::new(stores);
    let asked: Vec<_> = (0..60)
        .map(|n| {
            let stores = Arc::clone(&stores);
            tokio::spawn(async move { stores.ask(n, hold(&[("B", 3), ("A", 1)])).await.is_ok() })
        })
        .collect();
    let mut held = 0;
    for answer in asked {
        held += u64::from(answer.await.unwrap());
    }
    assert_eq!(held, 25);
    assert_eq!((stores.stock("A").await, stores.stock("B").await), ((25, 25), (1_000, 75)));
}

pub(crate) async fn of_concurrent_verdicts_one_counts(stores: Stores) {
    stores.add("A", "A", 100, &[]).await;
    let stores = Arc::new(stores);
    for n in 0..10 {
        stores.ask(n, hold(&[("A", 2)])).await.unwrap();
        stores.ask(n, ReservationCommand::Pin).await.unwrap();
    }
    let verdicts: Vec<_> = (0..40)
        .map(|n: u128| {
            let stores = Arc::clone(&stores);
            let verdict =
                if (n / 10).is_multiple_of(2) { ReservationCommand::Commit } else { ReservationCommand::Release };
            tokio::spawn(async move { stores.ask(n % 10, verdict).await.is_ok() })
        })
        .collect();
    let mut accepted = 0;
    for verdict in verdicts {
        accepted += usize::from(verdict.await.unwrap());
    }
    assert_eq!(accepted, 20, "each order takes one verdict, as often as it is given");
    let mut sold = 0;
    for n in 0..10 {
        match stores.reservations.find(order(n)).await.unwrap().unwrap().status() {
            Status::Committed => sold += 2,
            Status::Released(ReleaseCause::Verdict) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stores.stock("A").await, (100 - sold, 0));
}

pub(crate) async fn of_concurrent_sweepers_each_hold_is_released_by_one(stores: Stores) {
    stores.add("A", "A", 50, &[]).await;
    for n in 0..30 {
        stores.ask(n, hold(&[("A", 1)])).await.unwrap();
    }
    let (stores, over) = (Arc::new(stores), START.plus(Duration::from_mins(1)));
    let sweepers: Vec<_> = (0..4)
        .map(|_| {
            let stores = Arc::clone(&stores);
            tokio::spawn(async move { stores.reservations.release_expired(over, 100).await.unwrap() })
        })
        .collect();
    let mut released = 0;
    for sweeper in sweepers {
        released += sweeper.await.unwrap();
    }
    assert_eq!(released, 30);
    assert_eq!(stores.stock("A").await, (50, 0));
}
