//! A listener to `GET /events`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use tokio::sync::Notify;

use super::visitor::Visitor;

/// One server-sent event.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) event: String,
    pub(super) id: Option<u64>,
    pub(super) data: String,
}

/// Hears a user's events until it is dropped.
pub(super) struct Listener {
    heard: Arc<Mutex<Vec<Heard>>>,
    arrived: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    /// Connects, and waits until the server says so.
    pub(super) async fn connect(visitor: &Visitor, token: &str, after: Option<u64>) -> anyhow::Result<Self> {
        let mut request = visitor.client().get(format!("{}/events", visitor.url())).bearer_auth(token);
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after.to_string());
        }
        let response = request.send().await.context("/events got no answer")?;
        if response.status() != 200 {
            bail!("/events answered {}", response.status());
        }
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let arrived = Arc::<Notify>::default();
        let (into, ring) = (Arc::clone(&heard), Arc::clone(&arrived));
        let task = tokio::spawn(async move {
            let mut body = response.bytes_stream();
            let mut buffer = String::new();
            while let Some(Ok(chunk)) = body.next().await {
                buffer.push_str(&String::from_utf8_lossy(&chunk));
                while let Some(end) = buffer.find("\n\n") {
                    let frame: String = buffer.drain(..end + 2).collect();
                    if let Some(event) = parse(&frame) {
                        into.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                        ring.notify_one();
                    }
                }
            }
        });
        let listener = Self { heard, arrived, task };
        listener.wait("connected", Duration::from_secs(5), |event| event.event == "connected").await?;
        Ok(listener)
    }

    /// Everything heard so far.
    pub(super) fn all(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for an event.
    pub(super) async fn wait(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Heard) -> bool,
    ) -> anyhow::Result<Heard> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(event) = self.all().into_iter().find(|event| wanted(event)) {
                return Ok(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || tokio::time::timeout(left, self.arrived.notified()).await.is_err() {
                let heard: Vec<_> = self.all().into_iter().map(|event| event.event).collect();
                bail!("no {what} within {patience:?}; heard {heard:?}");
            }
        }
    }
}

fn parse(frame: &str) -> Option<Heard> {
    let field = |name: &str| {
        frame
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim_start().to_owned())
    };
    Some(Heard {
        event: field("event")?,
        id: field("id").and_then(|id| id.parse().ok()),
        data: field("data").unwrap_or_default(),
    })
}
