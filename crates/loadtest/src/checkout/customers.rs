//! Who buys: accounts, and the tokens that they hold at the moment.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::api::Api;
use crate::error::Error;
use crate::progress::say;

/// The demo accounts that `souk seed` makes and that buy.
const SEEDED: [&str; 3] = ["ada@souk.test", "linus@souk.test", "admin@souk.test"];
/// The demo account that may set stock.
pub(super) const ADMIN: &str = "admin@souk.test";
/// The password of all demo accounts, published in Souk's README.
pub(super) const SEEDED_PASSWORD: &str = "souk-demo-1";
/// The password of accounts made here.
const OWN_PASSWORD: &str = "a-long-loadtest-password";
/// Of a token's life, the part after which the next one is fetched.
const RENEW_AFTER: f64 = 0.7;
/// Wait after it could not be.
const RENEW_RETRY: Duration = Duration::from_secs(5);

/// Customers who are logged in.
#[derive(Debug)]
pub(super) struct Customers {
    accounts: Vec<Account>,
    /// One for each account, in the same order.
    tokens: RwLock<Vec<String>>,
    life: Duration,
}

#[derive(Debug)]
struct Account {
    email: String,
    password: &'static str,
}

/// What a log-in gives.
struct Session {
    token: String,
    life: Duration,
}

impl Session {
    fn of(answer: &Value) -> Result<Self, Error> {
        let token = answer["access_token"].as_str().map(str::to_owned);
        let life = answer["expires_in"].as_u64().map(Duration::from_secs);
        let (token, life) =
            token.zip(life).ok_or_else(|| Error::Failed("a log-in gave no access_token and expires_in".to_owned()))?;
        Ok(Self { token, life })
    }
}

/// Logs in; the access token.
pub(super) async fn log_in(api: &mut Api, email: &str, password: &str) -> Result<String, Error> {
    Ok(session(api, email, password).await?.token)
}

async fn session(api: &mut Api, email: &str, password: &str) -> Result<Session, Error> {
    let body = json!({ "email": email, "password": password });
    Session::of(&api.call("POST", "/api/auth/login", None, Some(&body), 200).await?)
}

impl Customers {
    /// Logs the demo accounts in.
    pub(super) async fn seeded(api: &mut Api) -> Result<Self, Error> {
        let accounts = SEEDED.map(|email| Account { email: email.to_owned(), password: SEEDED_PASSWORD }).into();
        let mut customers = Self { accounts, tokens: RwLock::default(), life: Duration::MAX };
        let mut tokens = Vec::new();
        for account in &customers.accounts {
            let session = session(api, &account.email, account.password).await?;
            customers.life = customers.life.min(session.life);
            tokens.push(session.token);
        }
        customers.tokens = RwLock::new(tokens);
        Ok(customers)
    }

    /// Makes so many accounts of our own; at least one.
    pub(super) async fn register(api: &mut Api, count: u32) -> Result<Self, Error> {
        say(&format!("registering {count} customers"));
        let run = uuid::Uuid::new_v4().simple().to_string();
        let (mut accounts, mut tokens, mut life) = (Vec::new(), Vec::new(), Duration::MAX);
        for number in 1..=count.max(1) {
            let email = format!("loadtest-{}-{number}@souk.test", &run[..8]);
            let body = json!({ "email": email, "password": OWN_PASSWORD, "name": format!("Customer {number}") });
            let session = Session::of(&api.call("POST", "/api/auth/register", None, Some(&body), 201).await?)?;
            life = life.min(session.life);
            tokens.push(session.token);
            accounts.push(Account { email, password: OWN_PASSWORD });
        }
        Ok(Self { accounts, tokens: RwLock::new(tokens), life })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.accounts.len()
    }

    /// Gives the token of the customer whose turn it is.
    pub(super) fn with_token<T>(&self, turn: u64, use_it: impl FnOnce(&str) -> T) -> T {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        use_it(&tokens[(turn % tokens.len() as u64) as usize])
    }

    /// Logs everybody in again before the tokens end, until `stop` is cancelled.
    pub(super) async fn renew(&self, mut api: Api, stop: CancellationToken) {
        let mut wait = self.life.mul_f64(RENEW_AFTER);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = self.life.mul_f64(RENEW_AFTER);
            for (place, account) in self.accounts.iter().enumerate() {
                match session(&mut api, &account.email, account.password).await {
                    Ok(session) => {
                        self.tokens.write().unwrap_or_else(PoisonError::into_inner)[place] = session.token;
                    }
                    Err(error) => {
                        say(&format!("{} could not log in again: {error}", account.email));
                        wait = RENEW_RETRY;
                    }
                }
            }
        }
    }
}
