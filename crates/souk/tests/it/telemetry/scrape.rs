//! Metrics as Prometheus sees them.

use std::collections::{BTreeMap, BTreeSet};

use crate::process::Souk;

/// Every series of a scrape: its name with its labels, as they are written, and its value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    pub(crate) async fn of(souk: &Souk) -> Self {
        Self::parse(&text_of(souk).await)
    }

    fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(
            series
                .map(|line| line.rsplit_once(' ').unwrap())
                .map(|(name, value)| (name.to_owned(), number(value)))
                .collect(),
        )
    }

    /// The value of a series: 0 where nothing was counted yet.
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }

    /// The series of the same metrics as these that have moved since, and by how much.
    pub(crate) fn moved_since<'a>(&self, before: &Self, like: impl Iterator<Item = &'a str>) -> BTreeMap<String, f64> {
        let metrics: BTreeSet<&str> = like.map(metric).collect();
        self.0
            .iter()
            .filter(|(series, _)| metrics.contains(metric(series)))
            .map(|(series, value)| (series.clone(), value - before.value(series)))
            .filter(|(_, moved)| *moved != 0.0)
            .collect()
    }
}

fn metric(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) async fn text_of(souk: &Souk) -> String {
    reqwest::get(format!("http://{}/metrics", souk.internal)).await.unwrap().text().await.unwrap()
}
