//! What a channel shows at this moment.
//!
//! The version is read first and the data after it: so the data are at least as new as the version says. What is published
//! meanwhile comes with a higher version.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::grpc::orders::GetOrderRequest;
use contracts::values::Sku;
use contracts::{Reason, Refusal};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, join_all};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Channel;
use super::catalogue::Products;
use super::dashboard::Dashboard;
use super::ports::{ChannelStoreUnavailable, ChannelVersions};
use crate::clients::{Clients, call};
use crate::extract::Caller;
use crate::shapes::BadAnswer;
use crate::shapes::order::Order;

/// A channel at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Which step of the channel it is at least as new as.
    pub version: u64,
    /// What it shows.
    pub data: Arc<RawValue>,
    /// Whether there is more than a snapshot shows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl Snapshot {
    /// Renders the data, once for whoever gets them.
    ///
    /// # Errors
    /// Never for what channels show.
    pub fn of<T: Serialize>(version: u64, data: &T) -> Result<Self, BadAnswer> {
        let data = serde_json::value::to_raw_value(data).map_err(|_| BadAnswer("data that have no form in JSON"))?;
        Ok(Self { version, data: data.into(), truncated: false })
    }
}

type Reading = Shared<BoxFuture<'static, Result<Snapshot, Refusal>>>;

/// Reads snapshots.
pub struct Snapshots {
    /// The services.
    pub clients: Clients,
    /// Products.
    pub products: Products,
    /// The versions of what has none of its own.
    pub versions: Arc<dyn ChannelVersions>,
    /// The figures for administrators.
    pub dashboard: Arc<Dashboard>,
    /// The catalogue is read once for all who ask at the same time.
    pub catalogue: Mutex<Option<Reading>>,
}

impl Snapshots {
    /// Each of these channels as it is now, or why the caller may not have it.
    pub async fn read(&self, caller: &Caller, channels: &[Channel]) -> Vec<Result<Snapshot, Refusal>> {
        let products = self.read_products(channels).await;
        join_all(channels.iter().map(|channel| async {
            match channel {
                Channel::Product(sku) => match &products {
                    Ok(products) => products.get(sku).cloned().ok_or_else(product_not_found),
                    Err(refusal) => Err(refusal.clone()),
                },
                Channel::Order(id) => {
                    let request = caller.request(GetOrderRequest { order_id: id.to_string() })?;
                    let order = call("orders.GetOrder", self.clients.orders().get_order(request)).await?;
                    let order = Order::try_from(order)?;
                    Ok(Snapshot::of(order.version, &order)?)
                }
                Channel::Catalogue => self.read_catalogue().await,
                Channel::Dashboard => self.dashboard.snapshot().await,
            }
        }))
        .await
    }

    /// Those of these channels that have moved beyond the version at which they are known.
    pub async fn read_newer(&self, caller: &Caller, known: &[(Channel, u64)]) -> Vec<(Channel, Snapshot)> {
        let counted: Vec<_> = known.iter().filter(|(channel, _)| is_counted(channel)).cloned().collect();
        let names: Vec<_> = counted.iter().map(|(channel, _)| channel.clone()).collect();
        // When the versions can't be had, reading all anew is as good.
        let versions = self.versions.current(&names).await.unwrap_or_default();
        let moved = |n: usize, version: u64| versions.get(n).is_none_or(|now| *now > version);
        let mut suspects: Vec<_> = known.iter().filter(|(channel, _)| !is_counted(channel)).cloned().collect();
        suspects.extend(
            counted.into_iter().enumerate().filter(|(n, (_, version))| moved(*n, *version)).map(|(_, one)| one),
        );
        let channels: Vec<_> = suspects.iter().map(|(channel, _)| channel.clone()).collect();
        let snapshots = self.read(caller, &channels).await;
        let newer = suspects.into_iter().zip(snapshots).filter_map(|((channel, version), snapshot)| {
            snapshot.ok().filter(|snapshot| snapshot.version > version).map(|snapshot| (channel, snapshot))
        });
        newer.collect()
    }

    async fn read_products(&self, channels: &[Channel]) -> Result<HashMap<Sku, Snapshot>, Refusal> {
        let wanted: Vec<_> =
            channels.iter().filter(|channel| matches!(channel, Channel::Product(_))).cloned().collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let versions = self.versions.current(&wanted).await.map_err(unavailable)?;
        let skus: Vec<Sku> = wanted
            .iter()
            .filter_map(|channel| if let Channel::Product(sku) = channel { Some(sku.clone()) } else { None })
            .collect();
        let products = self.products.find(&skus).await?;
        let found = skus
            .into_iter()
            .zip(versions)
            .filter_map(|(sku, version)| products.get(&sku).map(|product| Ok((sku, Snapshot::of(version, product)?))));
        found.collect()
    }

    async fn read_catalogue(&self) -> Result<Snapshot, Refusal> {
        let reading = {
            let mut reading = self.catalogue.lock().unwrap_or_else(PoisonError::into_inner);
            match &*reading {
                Some(others) if others.peek().is_none() => others.clone(),
                _ => {
                    let (versions, products) = (Arc::clone(&self.versions), self.products.clone());
                    let mine = read_catalogue(versions, products).boxed().shared();
                    *reading = Some(mine.clone());
                    mine
                }
            }
        };
        reading.await
    }
}

async fn read_catalogue(versions: Arc<dyn ChannelVersions>, products: Products) -> Result<Snapshot, Refusal> {
    let version = versions.current(&[Channel::Catalogue]).await.map_err(unavailable)?;
    let catalogue = products.catalogue().await?;
    let snapshot = Snapshot::of(version.first().copied().unwrap_or(0), &catalogue.products)?;
    Ok(Snapshot { truncated: catalogue.truncated, ..snapshot })
}

fn is_counted(channel: &Channel) -> bool {
    matches!(channel, Channel::Product(_) | Channel::Catalogue)
}

fn product_not_found() -> Refusal {
    Refusal::new(Reason::ProductNotFound, Reason::ProductNotFound.title())
}

/// What callers are told when the store of channels is away.
pub(super) fn unavailable(error: ChannelStoreUnavailable) -> Refusal {
    tracing::warn!(error = %observability::logs::error_chain(&error), "the store of channels can't be reached");
    Refusal::new(Reason::Unavailable, Reason::Unavailable.title())
}
