//! The presence of all gateways that share a Redis. Every call is one Lua script, all or nothing: `presence.lua`.

mod link;

use std::time::Duration;

use async_trait::async_trait;
use contracts::ids::UserId;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, cmd};

use self::link::Link;
use super::store::{Change, Deed, Lease, PresenceStore, Room, Step, StoreAway, Timing};
use crate::realtime::url::RedisUrl;

const SOURCE: &str = include_str!("presence.lua");
/// Most devices that one call of the script ends: Redis answers nobody else meanwhile.
const SWEPT_AT_ONCE: usize = 200;

/// See the module.
pub struct RedisPresence {
    gateway: String,
    timing: Timing,
    root: String,
    digest: String,
    link: Link,
}

impl RedisPresence {
    /// The presence in that Redis, as this gateway sees it. It connects when first asked for something.
    ///
    /// # Errors
    /// The driver can't use the address.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(url: &RedisUrl, gateway: &str, timing: Timing) -> Result<Self, StoreAway> {
        let link = Link::lazy(url).map_err(away)?;
        let digest = redis::Script::new(SOURCE).get_hash().to_owned();
        Ok(Self { gateway: gateway.to_owned(), timing, root: url.presence_root(), digest, link })
    }

    fn call(&self, verb: &str) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.digest).arg(1).arg(&self.root).arg(verb);
        call
    }

    fn step(&self, step: &Step) -> Cmd {
        let (verb, gateway) = match &step.deed {
            Deed::Arrive(_) => ("arrive", &*self.gateway),
            Deed::Leave => ("leave", ""),
            Deed::Linger => ("linger", ""),
            Deed::Join(_) => ("join", ""),
            Deed::LeaveRoom(_) => ("quit", ""),
        };
        let mut call = self.call(verb);
        call.arg(gateway).arg(step.user.to_string()).arg(step.device.as_str());
        match &step.deed {
            Deed::Arrive(rooms) => {
                call.arg(self.timing.expiry.as_millis() as u64);
                for room in rooms {
                    call.arg(&**room);
                }
            }
            Deed::Leave => {}
            Deed::Linger => drop(call.arg(self.timing.grace.as_millis() as u64)),
            Deed::Join(room) | Deed::LeaveRoom(room) => drop(call.arg(&**room)),
        }
        call
    }

    /// Runs scripts that may be unknown to Redis: to one that was restarted, or never saw them.
    async fn run<T: redis::FromRedisValue>(&self, calls: Vec<Cmd>) -> RedisResult<Vec<T>> {
        let mut pipeline = Pipeline::with_capacity(calls.len());
        for call in calls {
            pipeline.add_command(call);
        }
        match self.link.pipeline(&pipeline).await {
            Err(error) if is_unknown(&error) => {
                self.link.command(cmd("SCRIPT").arg("LOAD").arg(SOURCE)).await.map(drop::<String>)?;
                self.link.pipeline(&pipeline).await
            }
            answer => answer,
        }
    }

    async fn run_one<T: redis::FromRedisValue>(&self, call: Cmd) -> Result<T, StoreAway> {
        let mut answers = self.run(vec![call]).await.map_err(away)?;
        answers.pop().ok_or_else(|| away(malformed()))
    }
}

#[async_trait]
impl PresenceStore for RedisPresence {
    async fn apply(&self, steps: &[Step]) -> Result<Vec<Change>, StoreAway> {
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let answers: Vec<(u8, Vec<String>)> =
            self.run(steps.iter().map(|step| self.step(step)).collect()).await.map_err(away)?;
        let changed = steps.iter().zip(answers).filter(|(_, (changed, _))| *changed == 1);
        let change = |(step, (_, rooms)): (&Step, (u8, Vec<String>))| Change {
            user: step.user,
            is_online: matches!(step.deed, Deed::Arrive(_)),
            rooms: rooms.into_iter().map(Room::from).collect(),
        };
        Ok(changed.map(change).collect())
    }

    async fn beat(&self) -> Result<Lease, StoreAway> {
        let mut call = self.call("beat");
        call.arg(&self.gateway).arg(self.timing.expiry.as_millis() as u64);
        let kept: u8 = self.run_one(call).await?;
        Ok(if kept == 1 { Lease::Kept } else { Lease::Lost })
    }

    async fn doubt(&self, within: Duration) -> Result<(), StoreAway> {
        let mut call = self.call("doubt");
        call.arg(&self.gateway).arg(within.as_millis() as u64);
        self.run_one(call).await.map(drop::<u64>)
    }

    async fn sweep(&self) -> Result<Vec<Change>, StoreAway> {
        let mut changes = Vec::new();
        loop {
            let mut call = self.call("sweep");
            call.arg(self.timing.gap().as_millis() as u64)
                .arg(self.timing.hold().as_millis() as u64)
                .arg(SWEPT_AT_ONCE);
            let (more, went): (u8, Vec<(String, Vec<String>)>) = match self.run_one(call).await {
                Ok(answer) => answer,
                // Who was found already must be told of.
                Err(error) if changes.is_empty() => return Err(error),
                Err(_) => return Ok(changes),
            };
            for (user, rooms) in went {
                let user = user.parse().map_err(|_| away(malformed()))?;
                changes.push(Change { user, is_online: false, rooms: rooms.into_iter().map(Room::from).collect() });
            }
            if more == 0 {
                return Ok(changes);
            }
        }
    }

    async fn online(&self, asker: Option<UserId>, users: &[UserId]) -> Result<Vec<bool>, StoreAway> {
        let mut call = self.call("online");
        call.arg(asker.map(|asker| asker.to_string()).unwrap_or_default());
        for user in users {
            call.arg(user.to_string());
        }
        let answers: Vec<u8> = self.run_one(call).await?;
        Ok(answers.into_iter().map(|online| online == 1).collect())
    }

    async fn ping(&self) -> Result<(), StoreAway> {
        self.link.command(&cmd("PING")).await.map(drop::<String>).map_err(away)
    }
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn malformed() -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, "the script answered something else"))
}

fn away(error: RedisError) -> StoreAway {
    StoreAway(Box::new(error))
}
