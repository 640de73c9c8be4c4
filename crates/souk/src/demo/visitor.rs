//! An HTTP client that tells each step it takes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A visitor of a Souk.
pub(super) struct Visitor {
    url: String,
    client: reqwest::Client,
    steps: AtomicUsize,
}

/// One request.
pub(super) struct Call<'a> {
    /// What it is for, in a few words.
    pub(super) step: &'a str,
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// The access token, if the step needs one.
    pub(super) token: Option<&'a str>,
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) body: Option<Value>,
    /// The status that is no surprise.
    pub(super) expect: u16,
}

impl<'a> Call<'a> {
    /// A `GET` that should be answered with 200.
    pub(super) fn get(step: &'a str, path: &'a str) -> Self {
        Self { step, method: Method::GET, path, token: None, idempotency_key: None, body: None, expect: 200 }
    }

    /// A `POST` that should be answered with `expect`.
    pub(super) fn post(step: &'a str, path: &'a str, body: Value, expect: u16) -> Self {
        Self { method: Method::POST, body: Some(body), expect, ..Self::get(step, path) }
    }

    /// On behalf of a signed-in user.
    pub(super) fn with_token(self, token: &'a str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Safe to repeat.
    pub(super) fn with_key(self, key: &'a str) -> Self {
        Self { idempotency_key: Some(key), ..self }
    }
}

impl Visitor {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().build().context("the HTTP client could not be made")?;
        Ok(Self { url: url.to_owned(), client, steps: AtomicUsize::new(0) })
    }

    /// Good steps so far.
    pub(super) fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Sends a request, prints the step, and fails if the answer is a surprise.
    pub(super) async fn call(&self, call: Call<'_>) -> anyhow::Result<Value> {
        let started = Instant::now();
        let answer = self.send(&call).await?;
        let good = answer.status.as_u16() == call.expect;
        self.tell(call.step, good, started.elapsed(), &answer.what, &answer.request_id);
        answer.value_if(good, &call)
    }

    /// Sends a request again and again until its answer says `wanted`; one step, however often it was asked.
    pub(super) async fn call_until(
        &self,
        call: Call<'_>,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let started = Instant::now();
        loop {
            let answer = self.send(&call).await?;
            let (what, request_id) = (answer.what.clone(), answer.request_id.clone());
            let good = answer.status.as_u16() == call.expect;
            let value = answer.value_if(good, &call)?;
            let holds = wanted(&value);
            if holds || started.elapsed() > patience {
                self.tell(call.step, holds, started.elapsed(), &what, &request_id);
                return if holds { Ok(value) } else { Err(anyhow::anyhow!("{}: still {value}", call.step)) };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn send(&self, call: &Call<'_>) -> anyhow::Result<Answer> {
        let mut request =
            self.client.request(call.method.clone(), format!("{}{}", self.url, call.path)).timeout(TIMEOUT);
        if let Some(token) = call.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = call.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("{}: {} {} got no answer", call.step, call.method, call.path))?;
        let status = response.status();
        let header = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        let request_id = header.unwrap_or("-").to_owned();
        let text = response.text().await.with_context(|| format!("{}: the answer broke off", call.step))?;
        let what = format!("{} {:<4} {}", status.as_u16(), call.method, shortened(call.path));
        Ok(Answer { status, request_id, text, what })
    }

    /// Prints a step.
    pub(super) fn tell(&self, step: &str, good: bool, took: Duration, what: &str, request_id: &str) {
        let mark = if good { "ok " } else { "BAD" };
        if good {
            self.steps.fetch_add(1, Ordering::Relaxed);
        }
        println!("  {mark} {step:<46} {:>6} ms  {what:<58} {request_id}", took.as_millis());
    }

    /// Checks what an answer says.
    pub(super) fn check(&self, what: &str, good: bool, seen: &Value) -> anyhow::Result<()> {
        if good {
            return Ok(());
        }
        self.tell(what, false, Duration::ZERO, "", "");
        bail!("{what}: not so, but {seen}")
    }
}

/// What came back.
struct Answer {
    status: StatusCode,
    request_id: String,
    text: String,
    /// For the printed line.
    what: String,
}

impl Answer {
    fn value_if(self, good: bool, call: &Call<'_>) -> anyhow::Result<Value> {
        if !good {
            bail!("{}: expected {}, got {}: {}", call.step, call.expect, self.status, self.text);
        }
        if self.text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.text).with_context(|| format!("{}: the answer is no JSON: {}", call.step, self.text))
    }
}

/// Ids cut to their end, where they differ, so that lines stay in their columns.
fn shortened(path: &str) -> String {
    let part = |part: &str| match part.parse::<uuid::Uuid>() {
        Ok(_) => format!("…{}", &part[part.len() - 6..]),
        Err(_) => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
