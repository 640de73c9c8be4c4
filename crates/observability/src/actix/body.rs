//! A body that knows when it has ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use pin_project_lite::pin_project;

use super::access_log::Entry;

pin_project! {
    /// A response's body that is followed to its end, where the access log is heard. The line is written when it is
    /// dropped: at its end, or when the client went away before.
    pub struct LoggedBody<B> {
        #[pin]
        body: B,
        entry: Option<Entry>,
    }
}

impl<B> LoggedBody<B> {
    pub(super) fn new(body: B, entry: Option<Entry>) -> Self {
        Self { body, entry }
    }
}

impl<B: MessageBody> MessageBody for LoggedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        let chunk = ready!(this.body.poll_next(context));
        if let Some(entry) = this.entry {
            match &chunk {
                Some(Ok(bytes)) => entry.wrote(bytes.len()),
                Some(Err(_)) => {}
                None => entry.ended(),
            }
        }
        Poll::Ready(chunk)
    }
}
