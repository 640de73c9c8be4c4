//! Calls that prepare the load: JSON out, JSON in.

use std::time::Duration;

use serde_json::Value;

use crate::error::Error;
use crate::http::{Connection, Request, Url};

/// How long such a call may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server's API, over one connection.
#[derive(Debug)]
pub(super) struct Api {
    url: Url,
    connection: Connection,
}

impl Api {
    pub(super) fn new(url: &Url) -> Self {
        Self { url: url.clone(), connection: Connection::to(url.address) }
    }

    /// Calls; the answer must have the status `expect`.
    pub(super) async fn call(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
        expect: u16,
    ) -> Result<Value, Error> {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("Content-Type", "application/json"), ("Accept", "application/json")];
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request { method, headers: &headers, body: body.as_bytes() }.to_bytes(&self.url.at(path));
        let told = |what: String| Error::Failed(format!("{method} {path}: {what}"));
        let answer = tokio::time::timeout(TIMEOUT, self.connection.send(&request, true)).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(|error| told(error.to_string()))?,
            Err(_) => {
                self.connection.close();
                return Err(told("no answer in time".to_owned()));
            }
        };
        if answer.status != expect {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(told(format!("answered {} instead of {expect}: {said}", answer.status)));
        }
        serde_json::from_slice(&answer.body).map_err(|error| told(format!("answered no JSON: {error}")))
    }
}
