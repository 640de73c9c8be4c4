//! Fifty people who buy, ten checkouts a second together, whatever happens to Souk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::world::{SHELVES, World};

/// People.
pub(crate) const SHOPPERS: usize = 50;
/// One checkout each: ten a second.
const PACE: Duration = Duration::from_millis(100);
/// The time that the gateway gives a request by default.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// What a busy machine may add to it.
pub(crate) const SLACK: Duration = Duration::from_secs(2);
/// How long somebody who was not answered goes on asking.
const INSIST: Duration = Duration::from_secs(40);

/// What a shopper was told.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) retry_after: Option<String>,
    pub(crate) is_problem: bool,
}

impl Answer {
    /// The order that it speaks of.
    pub(crate) fn order_id(&self) -> Option<&str> {
        self.body["id"].as_str().or(self.body["order_id"].as_str())
    }

    /// Whether it says how the order ended, or will: nothing is left to ask.
    fn is_verdict(&self) -> bool {
        match self.status {
            201 | 202 | 402 => true,
            409 => self.order_id().is_some(),
            _ => false,
        }
    }
}

/// One checkout: asked once, under a key of its own.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) key: String,
    pub(crate) shopper: usize,
    pub(crate) body: Value,
    pub(crate) started: Instant,
    pub(crate) took: Duration,
    /// `Err`: the connection was refused or lost.
    pub(crate) answer: Result<Answer, String>,
}

impl Attempt {
    /// Sold, or refused for a reason of the shop's.
    pub(crate) fn succeeded(&self) -> bool {
        self.answer.as_ref().is_ok_and(Answer::is_verdict)
    }
}

/// People with accounts.
pub(crate) struct Shoppers {
    client: reqwest::Client,
    gateways: Vec<String>,
    /// User id and access token.
    people: Vec<(String, String)>,
}

impl Shoppers {
    /// Registers them.
    pub(crate) async fn register(world: &World) -> Arc<Self> {
        let (client, gateways) = (world.client.clone(), world.gateways());
        let people = (0..SHOPPERS).map(|_| {
            let url = format!("{}/api/auth/register", gateways[0]);
            let email = format!("shopper-{}@souk.test", Uuid::new_v4().simple());
            let account = json!({ "email": email, "password": "a-long-password", "name": "Shopper" });
            let client = &client;
            async move {
                let response = client.post(url).json(&account).send().await.unwrap();
                assert_eq!(response.status(), 201);
                let session: Value = response.json().await.unwrap();
                let text = |pointer| session.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
                (text("/user/id"), text("/access_token"))
            }
        });
        let people = join_all(people).await;
        Arc::new(Self { client, gateways, people })
    }

    pub(crate) fn user_id(&self, shopper: usize) -> &str {
        &self.people[shopper].0
    }

    pub(crate) fn token(&self, shopper: usize) -> &str {
        &self.people[shopper].1
    }

    async fn ask(&self, gateway: &str, shopper: usize, key: &str, body: &Value) -> Result<Answer, String> {
        let request = self.client.post(format!("{gateway}/api/orders")).bearer_auth(self.token(shopper));
        let request = request.header("Idempotency-Key", key).json(body).timeout(DEADLINE + 2 * SLACK);
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (status, retry_after) = (response.status().as_u16(), header("retry-after"));
        let is_problem = header("content-type").is_some_and(|kind| kind.starts_with("application/problem+json"));
        let body = response.json().await.map_err(|error| format!("{error:?}"))?;
        Ok(Answer { status, body, retry_after, is_problem })
    }

    async fn checkout(&self, load: &str, n: usize) -> Attempt {
        let (key, body) = (format!("{load}-{n}"), basket(n));
        let (shopper, started) = (n % SHOPPERS, Instant::now());
        // Who finds one gateway gone takes the next, as a load balancer would.
        let mut answer = Err("no gateway".to_owned());
        for turn in 0..self.gateways.len() {
            let gateway = &self.gateways[(n + turn) % self.gateways.len()];
            answer = self.ask(gateway, shopper, &key, &body).await;
            if !answer.as_ref().is_err_and(|error| error.contains("Connect")) {
                break;
            }
        }
        Attempt { key, shopper, body, started, took: started.elapsed(), answer }
    }

    /// Begins to buy; each load has keys of its own.
    pub(crate) fn begin(self: &Arc<Self>, load: &'static str) -> Load {
        let (shoppers, stop) = (Arc::clone(self), CancellationToken::new());
        let attempts: Arc<Mutex<Vec<Attempt>>> = Arc::default();
        let (stopped, kept) = (stop.clone(), Arc::clone(&attempts));
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            let mut open = JoinSet::new();
            for n in 0.. {
                tokio::select! {
                    () = stopped.cancelled() => break,
                    _ = pace.tick() => {}
                }
                let (shoppers, kept) = (Arc::clone(&shoppers), Arc::clone(&kept));
                open.spawn(async move {
                    let attempt = shoppers.checkout(load, n).await;
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
                });
            }
            while let Some(done) = open.join_next().await {
                done.unwrap();
            }
        });
        Load { stop, task, attempts }
    }

    /// Asks again, with the same key, for every attempt that got no verdict, until it has one. Returns them by key.
    pub(crate) async fn insist(&self, attempts: &[Attempt]) -> BTreeMap<String, Answer> {
        let mut verdicts = BTreeMap::new();
        for attempt in attempts {
            let answer = match &attempt.answer {
                Ok(answer) if answer.is_verdict() => answer.clone(),
                _ => self.verdict_of(attempt).await,
            };
            verdicts.insert(attempt.key.clone(), answer);
        }
        verdicts
    }

    async fn verdict_of(&self, attempt: &Attempt) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.ask(&self.gateways[0], attempt.shopper, &attempt.key, &attempt.body).await;
            match answer {
                Ok(answer) if answer.is_verdict() => return answer,
                other => assert!(started.elapsed() < INSIST, "{} gets no verdict: {other:?}", attempt.key),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// What the n-th checkout buys, and how it pays.
fn basket(n: usize) -> Value {
    let method = match n % 20 {
        7 | 17 => "card_declined",
        13 => "card_timeout_captured",
        _ => "card_ok",
    };
    let [plenty, also_plenty, scarce] = SHELVES.map(|(sku, _)| sku);
    let items = match n % 10 {
        // Often enough to want more than there is.
        3 | 8 => json!([{ "sku": scarce, "quantity": 1 }]),
        5 => json!([{ "sku": also_plenty, "quantity": 2 }, { "sku": plenty, "quantity": 1 }]),
        _ => json!([{ "sku": plenty, "quantity": 1 }]),
    };
    json!({ "items": items, "payment_method": method })
}

/// Checkouts going on.
pub(crate) struct Load {
    stop: CancellationToken,
    task: JoinHandle<()>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl Load {
    /// Buys for a while.
    pub(crate) async fn go_on(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Goes on until `enough` checkouts in a row have succeeded that began after `since`; how long after it the first of
    /// them began.
    pub(crate) async fn recovered(&self, since: Instant, enough: usize, patience: Duration) -> Duration {
        loop {
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone();
            attempts.retain(|attempt| attempt.started >= since);
            attempts.sort_by_key(|attempt| attempt.started);
            let good: Vec<_> = attempts.iter().rev().take_while(|attempt| attempt.succeeded()).collect();
            if good.len() >= enough {
                return good.last().expect("some").started - since;
            }
            assert!(since.elapsed() < patience, "not back after {patience:?}: {:?}", attempts.last());
            tokio::time::sleep(PACE).await;
        }
    }

    /// Ends it, and waits for the answers that are due.
    pub(crate) async fn end(self) -> Vec<Attempt> {
        self.stop.cancel();
        self.task.await.unwrap();
        let mut attempts = std::mem::take(&mut *self.attempts.lock().unwrap_or_else(PoisonError::into_inner));
        attempts.sort_by_key(|attempt| attempt.started);
        attempts
    }
}
