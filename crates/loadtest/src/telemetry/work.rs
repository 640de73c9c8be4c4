//! What is asked of both servers.

use std::time::Instant;

use crate::error::Error;
use crate::http::{Answer, Connection, Request, Url};
use crate::load::Work;

/// The read that is measured: a page of the catalogue.
pub const PATH: &str = "/api/products?limit=50";

/// The same request again and again, with the same answer.
pub struct SameAnswer {
    request: Vec<u8>,
    body_bytes: u64,
}

impl SameAnswer {
    /// Asks once, and takes the length of that answer as what is expected of all others.
    ///
    /// # Errors
    /// When there is no answer, or not one with status 200 and a body.
    pub async fn learn(url: &Url) -> Result<Self, Error> {
        let request = Request { headers: &[("Accept", "application/json")], ..Request::default() }.to_bytes(url);
        let answer = Connection::to(url.address).send(&request, false).await;
        let answer = answer.map_err(|error| Error::Failed(format!("{}: {error}", url.path)))?;
        if answer.status != 200 || answer.body_bytes == 0 {
            return Err(Error::Failed(format!(
                "{} answered {} with {} bytes",
                url.path, answer.status, answer.body_bytes
            )));
        }
        Ok(Self { request, body_bytes: answer.body_bytes })
    }

    /// Length of the body in bytes.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }
}

impl Work for SameAnswer {
    fn request(&self, _number: u64, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.request);
    }

    fn check(&self, answer: &Answer, _from: Instant) -> Result<(), String> {
        if answer.status == 200 && answer.body_bytes == self.body_bytes {
            return Ok(());
        }
        Err(format!(
            "status {} with {} bytes instead of 200 with {}",
            answer.status, answer.body_bytes, self.body_bytes
        ))
    }
}
