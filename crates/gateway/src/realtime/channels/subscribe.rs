//! `subscribe` and `unsubscribe`.
//!
//! What is acknowledged comes before any update of the channel: snapshots are read, acknowledged, and only then the socket joins the
//! room. Whatever was published between the two is made up at once, by an update of this socket's own with all the data.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{Reason, Refusal, Role};
use serde::Serialize;
use serde_json::{Value, json};
use service_kit::grpc::deadline;
use socketio::Socket;
use socketio::handler::State;

use super::snapshots::{Snapshot, unavailable};
use super::update::{Change, Update};
use super::{Channel, LiveUpdates, metrics};
use crate::extract::Caller;
use crate::realtime::call::Call;
use crate::realtime::reply;

/// Most channels that one call may name.
pub const MAX_PER_CALL: usize = 20;
/// Most channels that one socket may watch.
pub const MAX_PER_SOCKET: usize = 100;

/// What is acknowledged for one channel.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Snapshot(Snapshot),
    Refused { error: Value },
}

impl From<Result<Snapshot, Refusal>> for Answer {
    fn from(read: Result<Snapshot, Refusal>) -> Self {
        read.map_or_else(|refusal| Self::Refused { error: reply::describe(&refusal) }, Self::Snapshot)
    }
}

/// Channels that were granted, with the version of each snapshot, and to whom.
type Granted = Option<(Caller, Vec<(Channel, u64)>)>;

/// `subscribe` [channels]: a snapshot, or a refusal, for each.
pub async fn subscribe(call: Call<Vec<String>>, socket: Socket, live: State<LiveUpdates>) {
    let watching = live.watching(&socket);
    // Waited for in the order in which the events came.
    let turn = watching.turn.lock().await;
    let mut granted: Granted = None;
    let to = &mut granted;
    let (joining, here, updates) = (&socket, &watching, &live);
    call.answer(|asker, names| async move {
        check(&names)?;
        let mut allowed = BTreeSet::new();
        let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
        for name in names {
            let channel = allow(joining, &asker.caller, &name).and_then(|channel| {
                let more = BTreeSet::from([channel.clone()]);
                let is_full = here.len_with(&allowed.union(&more).cloned().collect()) > MAX_PER_SOCKET;
                if is_full { Err(too_many()) } else { Ok(channel) }
            });
            match channel {
                Ok(channel) => {
                    allowed.insert(channel);
                }
                Err(refusal) => {
                    answers.insert(name, Answer::from(Err(refusal)));
                }
            }
        }
        let allowed: Vec<Channel> = allowed.into_iter().collect();
        let snapshots = updates.announced_snapshots(&asker.caller, &allowed).await;
        let mut known = Vec::new();
        for (channel, snapshot) in allowed.into_iter().zip(snapshots) {
            metrics::asked(kind(&channel), snapshot.is_ok());
            answers.insert(channel.to_string(), Answer::from(snapshot.clone()));
            known.extend(snapshot.ok().map(|snapshot| (channel, snapshot.version)));
        }
        *to = Some((asker.caller.clone(), known));
        Ok(answers)
    })
    .await;
    if let Some((caller, known)) = granted {
        for (channel, _) in &known {
            live.join(&watching, &socket, channel);
        }
        deadline::within(live.answer_within, live.make_up(&caller, &socket, &known)).await;
    }
    drop(turn);
}

/// `unsubscribe` [channels]: `{}`. Channels that are not watched are none.
pub async fn unsubscribe(call: Call<Vec<String>>, socket: Socket, live: State<LiveUpdates>) {
    let watching = live.watching(&socket);
    let turn = watching.turn.lock().await;
    let (leaving, here) = (&socket, &watching);
    call.answer(|_asker, names| async move {
        check(&names)?;
        for channel in names.iter().filter_map(|name| name.parse().ok()) {
            super::leave(here, leaving, &channel);
        }
        Ok(json!({}))
    })
    .await;
    drop(turn);
}

fn check(names: &[String]) -> Result<(), Refusal> {
    if names.len() > MAX_PER_CALL {
        return Err(Refusal::invalid("", format!("must name at most {MAX_PER_CALL} channels")));
    }
    Ok(())
}

/// The channel of this name, if the caller may ask for it at all; whose order it is, orders knows.
fn allow(socket: &Socket, caller: &Caller, name: &str) -> Result<Channel, Refusal> {
    let channel = name.parse().map_err(|unknown: super::channel::UnknownChannel| not_found(unknown.to_string()))?;
    match channel {
        Channel::Dashboard if !caller.user().roles.contains(&Role::Admin) => {
            Err(Refusal::new(Reason::NotAllowed, "the dashboard is for administrators"))
        }
        Channel::Product(_) | Channel::Order(_) | Channel::Catalogue if socket.namespace() != "/" => {
            Err(not_found("this channel is in the main namespace"))
        }
        _ => Ok(channel),
    }
}

fn not_found(why: impl Into<String>) -> Refusal {
    Refusal::new(Reason::ChannelNotFound, why)
}

fn too_many() -> Refusal {
    Refusal::new(Reason::TooManyChannels, format!("a connection watches at most {MAX_PER_SOCKET} channels"))
}

fn kind(channel: &Channel) -> &'static str {
    match channel {
        Channel::Product(_) => metrics::PRODUCT,
        Channel::Order(_) => metrics::ORDER,
        Channel::Catalogue => metrics::CATALOGUE,
        Channel::Dashboard => metrics::DASHBOARD,
    }
}

impl LiveUpdates {
    /// Announces that the channels are watched, then reads them: what is published before the announcement is in the snapshot, what
    /// comes after it is published.
    async fn announced_snapshots(&self, caller: &Caller, channels: &[Channel]) -> Vec<Result<Snapshot, Refusal>> {
        let shared: Vec<_> = channels.iter().filter(|channel| **channel != Channel::Dashboard).cloned().collect();
        if let Err(error) = self.watched.watch(&shared).await {
            let refusal = unavailable(error);
            return channels.iter().map(|_| Err(refusal.clone())).collect();
        }
        self.snapshots.read(caller, channels).await
    }

    /// Sends what the channels moved on since their snapshots were read.
    async fn make_up(&self, caller: &Caller, socket: &Socket, known: &[(Channel, u64)]) {
        for (channel, snapshot) in self.snapshots.read_newer(caller, known).await {
            let change = Change::Data(&*snapshot.data);
            let update = Update { channel: &channel.to_string(), version: Some(snapshot.version), change };
            match update.payload() {
                Ok(payload) => socket.emit_payload(payload),
                Err(error) => tracing::error!(%channel, %error, "an update can't be encoded"),
            }
        }
    }
}
