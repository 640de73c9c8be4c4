//! `souk outbox status`: how far each service's outbox is behind.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use contracts::Clock as _;
use contracts::timestamp::SystemClock;
use futures::future::join_all;
use messaging::OutboxStatusSource;
use messaging::outbox_status::OutboxStatus;
use observability::logs::error_chain;
use serde_json::{Value, json};

use crate::cli::Places;
use crate::operator;
use crate::settings::Settings;

/// Longest time for a store to answer; its adapter gives up earlier by itself.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// Tell how many events of each service wait to be published, and since when; reads the stores alone
    ///
    /// Exits with 1 when a store can't be read, or an event has waited for too long.
    Status(StatusOptions),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    places: Places,
    /// Longest time that an event may wait, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    max_age: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What there is to say of one service.
struct Line {
    service: &'static str,
    answer: Result<OutboxStatus, String>,
    age: Option<Duration>,
}

/// Prints the state of all outboxes.
pub(crate) async fn run(command: OutboxCommand) -> anyhow::Result<()> {
    let OutboxCommand::Status(options) = command;
    let settings = operator::settings(&options.places)?;
    let lines = ask(&settings).await;
    if options.json {
        let lines: Vec<_> = lines.iter().map(to_json).collect();
        println!("{:#}", json!({ "outboxes": lines }));
    } else {
        let headings = ["SERVICE", "WAITING", "AGE", "OLDEST", "POSITION", "PUBLISHED TO"];
        operator::print_table(headings, &lines.iter().map(to_row).collect::<Vec<_>>());
    }
    let away: Vec<_> = lines.iter().filter(|line| line.answer.is_err()).map(|line| line.service).collect();
    let max_age = Duration::from_secs(options.max_age);
    let late: Vec<_> = lines.iter().filter(|line| line.age > Some(max_age)).map(|line| line.service).collect();
    anyhow::ensure!(away.is_empty(), "not all stores can be read: {}", away.join(", "));
    anyhow::ensure!(late.is_empty(), "events have waited for more than {max_age:?}: {}", late.join(", "));
    Ok(())
}

async fn ask(settings: &Settings) -> Vec<Line> {
    let (users, orders, inventory, payment, notification) = tokio::join!(
        users::bootstrap::outbox_status(&settings.users.database_url),
        async { orders::bootstrap::outbox_status(&settings.orders.database_url) },
        async { inventory::bootstrap::outbox_status(&settings.inventory.database_url) },
        async { payment::bootstrap::outbox_status(&settings.payment.database_url) },
        notification::bootstrap::outbox_status(&settings.notification.database_url),
    );
    let said = |error: &dyn std::error::Error| error_chain(error);
    let sources = [
        ("users", users.map_err(|error| said(&error))),
        ("orders", orders.map_err(|error| said(&error))),
        ("inventory", inventory.map_err(|error| said(&error))),
        ("payment", payment.map_err(|error| said(&error))),
        ("notification", notification.map_err(|error| said(&error))),
    ];
    join_all(sources.map(|(service, source)| ask_one(service, source))).await
}

async fn ask_one(service: &'static str, source: Result<Arc<dyn OutboxStatusSource>, String>) -> Line {
    let answer = match source {
        Ok(source) => match tokio::time::timeout(TIMEOUT, source.status()).await {
            Ok(answer) => answer.map_err(|error| error_chain(&error)),
            Err(_) => Err("it does not answer in time".to_owned()),
        },
        Err(error) => Err(error),
    };
    let oldest = answer.as_ref().ok().and_then(|status| status.oldest.as_ref());
    let age = oldest.map(|oldest| SystemClock.now().since(oldest.time));
    Line { service, answer, age }
}

fn to_row(line: &Line) -> [String; 6] {
    let dash = || "-".to_owned();
    match &line.answer {
        Ok(status) => {
            let oldest = status.oldest.as_ref();
            [
                line.service.to_owned(),
                status.depth.to_string(),
                line.age.map_or_else(dash, |age| format!("{:.1} s", age.as_secs_f64())),
                oldest
                    .map_or_else(dash, |event| format!("{} {} of {}", event.event_id, event.event_type, event.subject)),
                oldest.map_or_else(dash, |event| event.position.to_string()),
                status.published_to.map_or_else(dash, |position| position.to_string()),
            ]
        }
        Err(why) => {
            let why = format!("unreachable: {}", operator::short(why, 160));
            [line.service.to_owned(), dash(), dash(), why, dash(), dash()]
        }
    }
}

fn to_json(line: &Line) -> Value {
    match &line.answer {
        Ok(status) => json!({
            "service": line.service,
            "depth": status.depth,
            "oldest": status.oldest,
            "oldest_age_ms": line.age.map(|age| age.as_millis()),
            "published_to": status.published_to,
        }),
        Err(why) => json!({ "service": line.service, "unreachable": why }),
    }
}
