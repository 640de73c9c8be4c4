//! `souk dlq`: dead letters listed, shown, replayed and dropped.
//!
//! [`desk`] is the way to them: straight to a broker that runs by itself, by the internal port of a Souk that has the
//! embedded one.

pub(crate) mod desk;
mod print;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use messaging::DeadLetters;
use messaging::dead_letters::{Handled, LetterId, Pile, Which};

use crate::UsageError;
use crate::cli::Places;
use crate::operator;

/// The consumer groups of all services.
fn groups() -> Vec<String> {
    let groups = [orders::bootstrap::GROUPS, notification::bootstrap::GROUPS, gateway::bootstrap::GROUPS];
    groups.into_iter().flatten().map(|group| (*group).to_owned()).collect()
}

/// A group by its name; a mistyped one would look as if all were well with it.
fn group(text: &str) -> Result<String, String> {
    let groups = groups();
    if groups.iter().any(|group| group == text) {
        return Ok(text.to_owned());
    }
    Err(format!("there is no such consumer group; there are {}", groups.join(", ")))
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List the queues and their dead letters, those given up first at the front
    List(ListOptions),
    /// Show one dead letter with its whole event
    Show(ShowOptions),
    /// Hand dead letters to the group that gave them up, as if they were new
    Replay(SelectOptions),
    /// Throw dead letters away for good
    Drop(DropOptions),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    places: Places,
    /// The queue of one consumer group alone
    #[arg(long, value_parser = group)]
    queue: Option<String>,
    /// Most letters of each queue
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    places: Places,
    /// The letter, as `souk dlq list` names it
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SelectOptions {
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    selection: Selection,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DropOptions {
    #[command(flatten)]
    select: SelectOptions,
    /// Do it; without this, only what would be done is told
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// Letters, as `souk dlq list` names them
    ids: Vec<String>,
    /// All letters of this consumer group's queue
    #[arg(long, value_parser = group)]
    queue: Option<String>,
    /// All letters of all queues
    #[arg(long)]
    all: bool,
}

/// What is to be done with the letters.
#[derive(Clone, Copy)]
enum Action {
    Replay,
    Drop,
}

pub(crate) async fn run(command: DlqCommand) -> anyhow::Result<()> {
    match command {
        DlqCommand::List(options) => list(options).await,
        DlqCommand::Show(options) => show(options).await,
        DlqCommand::Replay(options) => handle(options, Action::Replay).await,
        DlqCommand::Drop(options) if options.yes => handle(options.select, Action::Drop).await,
        DlqCommand::Drop(options) => tell(options.select).await,
    }
}

async fn list(options: ListOptions) -> anyhow::Result<()> {
    let desk = desk::open(&operator::settings(&options.places)?).await?;
    let letters = desk.letters.as_ref();
    let piles = match options.queue {
        Some(queue) => piles_of(letters, vec![queue.clone()]).await?.into_iter().filter(|p| p.group == queue).collect(),
        None => piles_of(letters, groups()).await?,
    };
    let mut found = Vec::new();
    for pile in &piles {
        found.extend(letters.list(&pile.group, options.limit).await?);
    }
    print::list(&piles, &found, options.json);
    Ok(())
}

/// Every group with the number of its letters, none left out.
async fn piles_of(letters: &dyn DeadLetters, groups: Vec<String>) -> anyhow::Result<Vec<Pile>> {
    let found = letters.piles(&groups).await?;
    let mut counts: BTreeMap<_, _> = groups.into_iter().map(|group| (group, 0)).collect();
    counts.extend(found.into_iter().map(|pile| (pile.group, pile.letters)));
    Ok(counts.into_iter().map(|(group, letters)| Pile { group, letters }).collect())
}

async fn show(options: ShowOptions) -> anyhow::Result<()> {
    let id = parse_id(&options.id)?;
    let desk = desk::open(&operator::settings(&options.places)?).await?;
    let letter = desk.letters.find(&id).await?.with_context(|| format!("there is no dead letter {id}"))?;
    print::letter(&letter, options.json);
    Ok(())
}

fn parse_id(text: &str) -> Result<LetterId, UsageError> {
    text.parse().map_err(|error| UsageError(format!("'{text}' names no dead letter: {error}")))
}

/// What is meant, by group.
async fn selected(letters: &dyn DeadLetters, selection: &Selection) -> anyhow::Result<BTreeMap<String, Which>> {
    if let Some(queue) = &selection.queue {
        return Ok(BTreeMap::from([(queue.clone(), Which::All)]));
    }
    if selection.all {
        let piles = letters.piles(&groups()).await?;
        return Ok(piles.into_iter().map(|pile| (pile.group, Which::All)).collect());
    }
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for id in &selection.ids {
        let LetterId { group, key } = parse_id(id)?;
        keys.entry(group).or_default().insert(key);
    }
    Ok(keys.into_iter().map(|(group, keys)| (group, Which::Keys(keys.into_iter().collect()))).collect())
}

async fn handle(options: SelectOptions, action: Action) -> anyhow::Result<()> {
    for id in &options.selection.ids {
        parse_id(id)?;
    }
    let desk = desk::open(&operator::settings(&options.places)?).await?;
    let letters = desk.letters.as_ref();
    let mut total = Handled::default();
    let mut failures = Vec::new();
    for (group, which) in selected(letters, &options.selection).await? {
        let handled = match action {
            Action::Replay => letters.replay(&group, &which).await,
            Action::Drop => letters.discard(&group, &which).await,
        };
        match handled {
            Ok(handled) => {
                total.done += handled.done;
                total.missing.extend(handled.missing.iter().map(|key| format!("{group}/{key}")));
            }
            Err(error) => failures.push(format!("{group}: {}", observability::logs::error_chain(&error))),
        }
    }
    let verb = match action {
        Action::Replay => "replayed",
        Action::Drop => "dropped",
    };
    print::handled(verb, &total, options.json);
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("; "));
    anyhow::ensure!(total.missing.is_empty(), "not found: {}", total.missing.join(", "));
    Ok(())
}

/// Says what a drop would do.
async fn tell(options: SelectOptions) -> anyhow::Result<()> {
    let desk = desk::open(&operator::settings(&options.places)?).await?;
    let mut told = Vec::new();
    for (group, which) in selected(desk.letters.as_ref(), &options.selection).await? {
        match which {
            Which::Keys(keys) => told.extend(keys.into_iter().map(|key| format!("{group}/{key}"))),
            Which::All => {
                let piles = desk.letters.piles(std::slice::from_ref(&group)).await?;
                let letters = piles.iter().find(|pile| pile.group == group).map_or(0, |pile| pile.letters);
                told.push(format!("all {letters} of {group}"));
            }
        }
    }
    let told = if told.is_empty() { "nothing: there are no dead letters".to_owned() } else { told.join(", ") };
    Err(UsageError(format!("this would drop for good {told}; repeat it with --yes")).into())
}
