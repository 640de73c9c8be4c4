//! `souk demo`: a customer's whole journey, every answer checked.

mod events;
mod journey;
mod visitor;

use std::time::Instant;

use anyhow::Context as _;

use crate::cli::{DemoOptions, Places};
use crate::data_dir::{self, DataDir};
use crate::settings::{Settings, private_instance};
use crate::{UsageError, assembly};
use visitor::Visitor;

/// Visits a Souk: the one named, the one that runs on the data folder, or one made for the visit.
pub(crate) async fn run(options: DemoOptions) -> anyhow::Result<()> {
    if let Some(url) = options.url {
        let url = url.trim_end_matches('/');
        if reqwest::Url::parse(url).map_or(true, |parsed| !matches!(parsed.scheme(), "http")) {
            return Err(UsageError(format!("--url '{url}' must be an http:// address")).into());
        }
        return visit(url).await;
    }
    let private = private_instance(options.places);
    let (settings, _) = Settings::load(&private)?;
    if let Some(running) = data_dir::find_running(&settings.data_dir) {
        return visit(&format!("http://{}", running.gateway)).await;
    }
    visit_temporary(private.places).await
}

async fn visit_temporary(places: Places) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("souk-demo-{}", uuid::Uuid::new_v4().simple()));
    println!("no Souk runs on the data folder: starting one in {}", folder.display());
    let options = private_instance(Places { data_dir: Some(folder.clone()), ..places });
    let (settings, _) = Settings::load(&options)?;
    let telemetry = settings.process.init_telemetry("souk")?;
    telemetry.log_control.set("error")?;
    let data_dir = DataDir::take(&settings.data_dir)?;
    let started = Instant::now();
    let result = match assembly::start(&settings, telemetry.log_control.clone(), true, true).await {
        Ok(souk) => {
            println!("started and seeded in {} ms", started.elapsed().as_millis());
            // Ctrl-C ends the visit, and what was started for it.
            let url = format!("http://{}", souk.gateway);
            let result = tokio::select! {
                result = visit(&url) => result,
                _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
            };
            souk.finish().await;
            result
        }
        Err(error) => Err(error),
    };
    drop(data_dir);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        eprintln!("the temporary folder {} could not be removed: {error}", folder.display());
    }
    result
}

async fn visit(url: &str) -> anyhow::Result<()> {
    println!("visiting {url}\n");
    let started = Instant::now();
    let visitor = Visitor::new(url)?;
    let steps = journey::walk(&visitor)
        .await
        .with_context(|| format!("the journey ended at a surprise after {} good steps", visitor.steps()))?;
    println!("\n{steps} steps in {:.1} s, no surprises", started.elapsed().as_secs_f64());
    Ok(())
}
