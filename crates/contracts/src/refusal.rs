//! Every way in which Souk says no, in one table: reason → gRPC code → HTTP status → meaning → advice.
//!
//! A service turns its own errors into a [`Refusal`]; on the wire that is a [`tonic::Status`] with `google.rpc.ErrorInfo`
//! (and `BadRequest` for fields); the gateway turns it into an RFC 9457 problem. `docs/errors.md` is this table, and a
//! test holds the two together.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every `google.rpc.ErrorInfo` that Souk sends.
pub const ERROR_DOMAIN: &str = "souk";

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident, $http:literal, $title:literal, $advice:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $( #[doc = $title] #[doc = "\n\n"] #[doc = $advice] $name, )* }

        impl Reason {
            /// All reasons, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable name, as `ErrorInfo.reason`.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $text),* } }
            /// The gRPC status code.
            pub const fn code(self) -> Code { match self { $(Self::$name => Code::$code),* } }
            /// The HTTP status that the gateway answers with.
            pub const fn http_status(self) -> u16 { match self { $(Self::$name => $http),* } }
            /// What it means, in a few words.
            pub const fn title(self) -> &'static str { match self { $(Self::$name => $title),* } }
            /// What the caller should do.
            pub const fn advice(self) -> &'static str { match self { $(Self::$name => $advice),* } }
        }
    };
}

reasons! {
    InvalidRequest = "INVALID_REQUEST", InvalidArgument, 400, "The request is not valid", "Correct the fields named in `errors` and send it again.";
    MalformedBody = "MALFORMED_BODY", InvalidArgument, 400, "The body can't be read as JSON", "Send well-formed JSON, nested at most 64 deep.";
    AuthenticationRequired = "AUTHENTICATION_REQUIRED", Unauthenticated, 401, "Authentication is required", "Send `Authorization: Bearer <access token>`.";
    InvalidToken = "INVALID_TOKEN", Unauthenticated, 401, "The access token is not valid", "Log in or refresh, then repeat with the new access token.";
    InvalidCredentials = "INVALID_CREDENTIALS", Unauthenticated, 401, "Email or password is wrong", "Check both; which of them is wrong is not told.";
    InvalidRefreshToken = "INVALID_REFRESH_TOKEN", Unauthenticated, 401, "The refresh token is not valid", "Log in again. A refresh token works once; using it twice ends its session.";
    PaymentDeclined = "PAYMENT_DECLINED", FailedPrecondition, 402, "The payment was declined", "Offer another payment method and place a new order.";
    NotAllowed = "NOT_ALLOWED", PermissionDenied, 403, "The caller may not do this", "Ask someone whose role allows it.";
    AccountBanned = "ACCOUNT_BANNED", PermissionDenied, 403, "The account is banned", "Contact support.";
    NotAMember = "NOT_A_MEMBER", PermissionDenied, 403, "The caller is not a member of the chat room", "Join the room first.";
    RouteNotFound = "ROUTE_NOT_FOUND", NotFound, 404, "There is nothing at this address", "Look the route up at /docs.";
    OrderNotFound = "ORDER_NOT_FOUND", NotFound, 404, "There is no such order", "Check the id; other users' orders are not shown.";
    PaymentNotFound = "PAYMENT_NOT_FOUND", NotFound, 404, "There is no payment for this order", "Check the order id; an order rejected before charging has none.";
    ProductNotFound = "PRODUCT_NOT_FOUND", NotFound, 404, "There is no such product", "Check the sku.";
    ReservationNotFound = "RESERVATION_NOT_FOUND", NotFound, 404, "The order holds no stock", "Check the order id.";
    UserNotFound = "USER_NOT_FOUND", NotFound, 404, "There is no such user", "Check the id.";
    NotificationNotFound = "NOTIFICATION_NOT_FOUND", NotFound, 404, "There is no such notification", "Check the id.";
    ChatRoomNotFound = "CHAT_ROOM_NOT_FOUND", NotFound, 404, "There is no such chat room", "Check the id; private rooms are shown to their members alone.";
    ChatMessageNotFound = "CHAT_MESSAGE_NOT_FOUND", NotFound, 404, "There is no such message in the room", "Name a message of this room.";
    ChannelNotFound = "CHANNEL_NOT_FOUND", NotFound, 404, "There is no such channel", "Channels are `product:<sku>`, `order:<id>`, `catalogue` and `dashboard`.";
    MethodNotAllowed = "METHOD_NOT_ALLOWED", Unimplemented, 405, "The method is not allowed here", "Use one of the methods in `Allow`.";
    RequestTimeout = "REQUEST_TIMEOUT", DeadlineExceeded, 408, "The request did not arrive in time", "Send the whole request faster.";
    EmailTaken = "EMAIL_TAKEN", AlreadyExists, 409, "The email address has an account", "Log in instead, or use another address.";
    ProductExists = "PRODUCT_EXISTS", AlreadyExists, 409, "The sku is taken", "Change the existing product, or use another sku.";
    StaleVersion = "STALE_VERSION", Aborted, 409, "It changed in the meantime", "Read it again and repeat the change.";
    OrderInProgress = "ORDER_IN_PROGRESS", Aborted, 409, "The order with this idempotency key is still being decided", "Wait as `Retry-After` says and repeat with the same key.";
    OutOfStock = "OUT_OF_STOCK", FailedPrecondition, 409, "Not everything is in stock", "Order at most what `missing` says is available.";
    OrderCancelled = "ORDER_CANCELLED", FailedPrecondition, 409, "The order was cancelled before it was confirmed", "Nothing is charged; what was is given back. Place a new order, with a new idempotency key.";
    StockBelowReserved = "STOCK_BELOW_RESERVED", FailedPrecondition, 409, "More units are reserved than that", "Set at least as many units as are reserved.";
    HoldExpired = "HOLD_EXPIRED", FailedPrecondition, 409, "The hold ran out", "Hold the items again.";
    ReservationClosed = "RESERVATION_CLOSED", FailedPrecondition, 409, "The reservation is in a state that does not allow this", "Read the reservation; its state is final for this request.";
    OrderNotCancellable = "ORDER_NOT_CANCELLABLE", FailedPrecondition, 409, "The order can't be cancelled any more", "An order can be cancelled until it ships; afterwards ask for a refund.";
    OrderNotShippable = "ORDER_NOT_SHIPPABLE", FailedPrecondition, 409, "The order can't be shipped", "Only a confirmed order ships.";
    OrderNotDeliverable = "ORDER_NOT_DELIVERABLE", FailedPrecondition, 409, "The order can't be delivered", "Only a shipped order is delivered.";
    OrderNotRefundable = "ORDER_NOT_REFUNDABLE", FailedPrecondition, 409, "The order can't be refunded", "Only a confirmed, shipped or delivered order is refunded.";
    PaymentMismatch = "PAYMENT_MISMATCH", FailedPrecondition, 409, "The order was charged with other details", "Repeat a charge with the details of the first.";
    PaymentNotCaptured = "PAYMENT_NOT_CAPTURED", FailedPrecondition, 409, "Nothing was captured", "Only captured money can be refunded.";
    RefundExceedsCapture = "REFUND_EXCEEDS_CAPTURE", FailedPrecondition, 409, "More than was captured can't be refunded", "Refund at most what is left of the capture.";
    BodyTooLarge = "BODY_TOO_LARGE", OutOfRange, 413, "The body is too large", "Send at most 64 KiB.";
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", InvalidArgument, 415, "The body is not JSON", "Send `Content-Type: application/json`.";
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", InvalidArgument, 422, "The idempotency key was used for another request", "Use a new key for a new order; repeat an old one with the same body.";
    TooManyAttempts = "TOO_MANY_ATTEMPTS", ResourceExhausted, 429, "Too many failed attempts", "Wait as `Retry-After` says.";
    TooManyChannels = "TOO_MANY_CHANNELS", ResourceExhausted, 429, "The connection watches as many channels as it may", "Unsubscribe from channels that nobody looks at.";
    RateLimited = "RATE_LIMITED", ResourceExhausted, 429, "Too much at once", "Wait as `Retry-After` says and send it again.";
    Internal = "INTERNAL", Internal, 500, "Something went wrong on our side", "Report the `request_id`; repeating may help.";
    Unavailable = "UNAVAILABLE", Unavailable, 503, "A part of the service is not available", "Wait as `Retry-After` says and repeat; with an idempotency key nothing happens twice.";
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded, 504, "The answer did not come in time", "Repeat; with an idempotency key nothing happens twice.";
}

impl Reason {
    /// Finds a reason by its stable name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
    }

    /// The last part of the problem type's address: `out-of-stock` for `OUT_OF_STOCK`.
    pub fn slug(self) -> String {
        self.as_str().to_ascii_lowercase().replace('_', "-")
    }

    /// The reason to assume for a status that carries none, such as one made by the transport.
    pub fn of_code(code: Code) -> Self {
        match code {
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidRequest,
            Code::Unauthenticated => Self::InvalidToken,
            Code::PermissionDenied => Self::NotAllowed,
            Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition => Self::StaleVersion,
            Code::ResourceExhausted => Self::TooManyAttempts,
            // A cancelled call is one whose connection or deadline was lost: nobody said no.
            Code::Unavailable | Code::Cancelled => Self::Unavailable,
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            Code::Ok | Code::Unknown | Code::NotFound | Code::Unimplemented | Code::Internal | Code::DataLoss => {
                Self::Internal
            }
        }
    }
}

/// A field of the request that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Where: a JSON pointer into the request body (RFC 6901) such as `/items/0/sku`, or the name of a parameter.
    pub field: String,
    /// What is wrong with it, worded to follow the name of the field.
    pub message: String,
}

/// A refusal: the reason, the sentence for this case, and what a program needs to react.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Which row of the table.
    pub reason: Reason,
    /// This case in a sentence; safe to show to the caller.
    pub detail: String,
    /// Extension members of the problem, such as `order_id`. A value that begins with `[` or `{` is JSON.
    pub metadata: HashMap<String, String>,
    /// The fields at fault.
    pub fields: Vec<FieldViolation>,
    /// When repeating makes sense.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with its own sentence.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), metadata: HashMap::new(), fields: Vec::new(), retry_after: None }
    }

    /// One field that is not valid.
    pub fn invalid(field: impl Into<String>, message: impl ToString) -> Self {
        Self::new(Reason::InvalidRequest, Reason::InvalidRequest.title()).with_field(field, message)
    }

    /// Adds a field at fault.
    pub fn with_field(mut self, field: impl Into<String>, message: impl ToString) -> Self {
        self.fields.push(FieldViolation { field: field.into(), message: message.to_string() });
        self
    }

    /// Adds an extension member.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Says when repeating makes sense.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Reads a refusal back from the wire. What carries no Souk reason (a transport's own status, a foreign server) gets
    /// the reason of its code, and its message is not shown, since nobody wrote it for the caller.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let retry_after = details.retry_info().and_then(|info| info.retry_delay);
        let known = details
            .error_info()
            .filter(|info| info.domain == ERROR_DOMAIN)
            .and_then(|info| Some((Reason::find(&info.reason)?, info.metadata.clone())));
        let (reason, detail, metadata) = match known {
            Some((reason, metadata)) => (reason, status.message().to_owned(), metadata),
            None => {
                let reason = Reason::of_code(status.code());
                (reason, reason.title().to_owned(), HashMap::new())
            }
        };
        let fields = details.bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    message: violation.description.clone(),
                })
                .collect()
        });
        Self { reason, detail, metadata, fields, retry_after }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(refusal.reason.as_str(), ERROR_DOMAIN, refusal.metadata);
        for field in refusal.fields {
            details.add_bad_request_violation(field.field, field.message);
        }
        if let Some(wait) = refusal.retry_after {
            details.set_retry_info(Some(wait));
        }
        Self::with_error_details(refusal.reason.code(), refusal.detail, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire() {
        let refusal = Refusal::new(Reason::OutOfStock, "3 of TEA-1 wanted, 1 available")
            .with("order_id", "x")
            .with("missing", r#"[{"sku":"TEA-1"}]"#)
            .with_field("/items/0/sku", "is short")
            .retry_after(Duration::from_secs(2));
        let status = Status::from(refusal.clone());
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(Refusal::from_status(&status), refusal);
    }

    #[test]
    fn a_foreign_status_is_not_shown_to_the_caller() {
        let refusal = Refusal::from_status(&Status::internal("panicked at src/secret.rs"));
        assert_eq!(refusal.reason, Reason::Internal);
        assert!(!refusal.detail.contains("secret"));
    }

    #[test]
    fn names_are_unique_and_found_again() {
        for reason in Reason::ALL {
            assert_eq!(Reason::find(reason.as_str()), Some(*reason));
        }
    }
}
