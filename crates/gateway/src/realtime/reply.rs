//! A refusal as a client of Socket.IO sees it: as the one argument of the acknowledgement it asked for, else as an event
//! `error`.

use contracts::Refusal;
use serde::Serialize;
use serde_json::{Value, json};

/// `{"error": {…}}`, where an answer would be.
#[derive(Debug, Serialize)]
pub struct Refused {
    error: Value,
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        Self { error: describe(refusal) }
    }
}

/// `{code, status, message}`: the reason of docs/errors.md, its HTTP status, and this case in a sentence; `errors` names fields at
/// fault, `retry_after_ms` says when repeating makes sense.
pub fn describe(refusal: &Refusal) -> Value {
    let reason = refusal.reason;
    // What went wrong inside is for the log.
    let message = match &refusal.fields[..] {
        _ if reason.http_status() >= 500 => reason.title().to_owned(),
        // All that most clients show.
        [first, ..] => format!("{}: {}{}", refusal.detail, at(&first.field), first.message),
        [] => refusal.detail.clone(),
    };
    let mut error = json!({ "code": reason.as_str(), "status": reason.http_status(), "message": message });
    if !refusal.fields.is_empty() {
        let fields = refusal.fields.iter().map(|field| json!({ "pointer": field.field, "detail": field.message }));
        error["errors"] = fields.collect();
    }
    if let Some(wait) = refusal.retry_after {
        error["retry_after_ms"] = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).into();
    }
    error
}

/// The place of a field in front of what is said of it; none for the argument itself.
fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!("{pointer} ") }
}

#[cfg(test)]
mod tests {
    use contracts::Reason;

    use super::*;

    #[test]
    fn a_refusal_tells_its_reason_its_fields_and_nothing_from_inside() {
        for (pointer, message) in
            [("", "The request is not valid: must be 1"), ("/2", "The request is not valid: /2 must be 1")]
        {
            let refusal = Refusal::invalid(pointer, "must be 1");
            assert_eq!(
                describe(&refusal),
                json!({ "code": "INVALID_REQUEST", "status": 400, "message": message,
                        "errors": [{ "pointer": pointer, "detail": "must be 1" }] })
            );
        }
        let inside = Refusal::new(Reason::Internal, "row 7 of table users is corrupt");
        assert!(!describe(&inside).to_string().contains("row 7"));
    }
}
