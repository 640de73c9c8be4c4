//! docs/metrics.md lists what is measured: each metric that is served stands there, with its type and its labels.

use std::collections::{BTreeMap, BTreeSet};

use super::scrape::text_of;
use super::shop::Shop;

/// Type and labels.
type Metric = (String, BTreeSet<String>);

/// What prometheus adds to the families of histograms and summaries.
const BUILT_IN: [&str; 2] = ["le", "quantile"];

fn documented() -> BTreeMap<String, Metric> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    });
    rows.collect()
}

fn served(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            name.clone_into(&mut current);
            kind.clone_into(&mut metrics.entry(current.clone()).or_default().0);
        } else if let Some((_, labels)) = line.split_once('{')
            && !line.starts_with('#')
        {
            // `name="value",…`: no value of ours holds a quote.
            let names = labels.split('"').step_by(2).filter_map(|part| part.strip_suffix('='));
            let names = names.map(|name| name.trim_start_matches(',').to_owned());
            metrics.get_mut(&current).unwrap().1.extend(names.filter(|name| !BUILT_IN.contains(&name.as_str())));
        }
    }
    metrics
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_that_is_served_is_in_the_catalogue_as_it_is() {
    let shop = Shop::open(&[]).await;
    let token = shop.ada().await;
    let mut listener = shop.listen(&token).await;
    let order = shop.order(&token, &[]).await;
    listener.until_notified(&order).await;
    let (documented, served) = (documented(), served(&text_of(&shop.souk).await));
    assert!(served.len() > 40, "{}", served.len());
    for (name, metric) in &served {
        let row = documented.get(name).unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        assert_eq!(row.0, metric.0, "the type of {name}");
        assert!(metric.1.is_subset(&row.1), "the labels of {name}: {:?} are documented, {:?} served", row.1, metric.1);
    }
}
