//! A Souk whose telemetry is watched, and a customer in it.

use reqwest::header::HeaderMap;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{PATIENCE, Souk};

use super::lines::Output;

/// A Souk and all that it tells. Lines are JSON, at the level that a developer gets by default.
pub(crate) struct Shop {
    pub(crate) souk: Souk,
    pub(crate) output: Output,
    pub(crate) client: Client,
    pub(crate) folder: TempDir,
    _told: TempDir,
}

impl Shop {
    /// Opens it with these settings besides.
    pub(crate) async fn open(settings: &[(&str, String)]) -> Self {
        let (folder, told) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let output = Output::to(told.path());
        let mut all = vec![("SOUK_LOG", "http".to_owned()), ("SOUK_LOG_FORMAT", "json".to_owned())];
        all.push(("SOUK_LOG_DIR", output.log_dir().display().to_string()));
        all.extend_from_slice(settings);
        let (stdout, stderr) = (output.file("stdout"), output.file("stderr"));
        let souk = Souk::start_telling(folder.path(), &all, stdout, stderr).await;
        Self { souk, output, client: Client::new(), folder, _told: told }
    }

    /// Ada's access token.
    pub(crate) async fn ada(&self) -> String {
        self.souk.log_in(&self.client, "ada@souk.test", "souk-demo-1").await
    }

    /// Orders a packet of tea with these headers; the order, which must be confirmed.
    pub(crate) async fn order(&self, token: &str, headers: &[(&'static str, &str)]) -> Value {
        let body = json!({ "items": [{ "sku": "TEA-MINT-100", "quantity": 1 }], "payment_method": "card_ok" });
        let mut more = HeaderMap::new();
        for (name, value) in headers {
            more.insert(*name, value.parse().unwrap());
        }
        let request = self.client.post(self.souk.url("/api/orders")).bearer_auth(token).headers(more).json(&body);
        let response = request.timeout(PATIENCE).send().await.unwrap();
        assert_eq!(response.status(), 201);
        response.json().await.unwrap()
    }

    /// Listens to the live events of whoever has the token.
    pub(crate) async fn listen(&self, token: &str) -> Listener {
        let response = self.client.get(self.souk.url("/events")).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut listener = Listener { response, heard: String::new() };
        listener.until("event: connected").await;
        listener
    }
}

/// An open stream of live events.
pub(crate) struct Listener {
    response: Response,
    heard: String,
}

impl Listener {
    /// Reads on until this was heard.
    pub(crate) async fn until(&mut self, text: &str) {
        while !self.heard.contains(text) {
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("{text} is not heard, only {}", self.heard));
            self.heard.push_str(&String::from_utf8_lossy(&chunk.unwrap().expect("the stream ended")));
        }
    }

    /// How often this was heard so far.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.heard.matches(text).count()
    }

    /// Reads on until the order is there, confirmed and notified of.
    pub(crate) async fn until_notified(&mut self, order: &Value) {
        self.until(&format!("\"{}\"", order["id"].as_str().unwrap())).await;
        self.until("event: order_updated").await;
        self.until("event: notification").await;
        self.until("event: notification:unread").await;
    }
}
