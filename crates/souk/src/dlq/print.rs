//! Letters for people and for programs.

use messaging::dead_letters::{DeadLetter, Handled, Pile};
use serde_json::{Value, json};

use crate::operator::{print_table, short};

/// Longest error in a table.
const MAX_ERROR: usize = 60;

pub(super) fn list(piles: &[Pile], letters: &[DeadLetter], as_json: bool) {
    if as_json {
        let queues: Vec<_> = piles.iter().map(|pile| json!({ "queue": pile.group, "letters": pile.letters })).collect();
        let letters: Vec<_> = letters.iter().map(to_json).collect();
        println!("{:#}", json!({ "queues": queues, "letters": letters }));
        return;
    }
    let rows: Vec<_> = piles.iter().map(|pile| [pile.group.clone(), pile.letters.to_string()]).collect();
    print_table(["QUEUE", "LETTERS"], &rows);
    if letters.is_empty() {
        return;
    }
    println!();
    let headings = ["ID", "EVENT", "TYPE", "SUBJECT", "ATTEMPTS", "FIRST FAILED", "LAST FAILED", "ERROR"];
    print_table(headings, &letters.iter().map(to_row).collect::<Vec<_>>());
    let there: u64 = piles.iter().map(|pile| pile.letters).sum();
    if (letters.len() as u64) < there {
        println!("\n{} of {there} shown; --limit shows more", letters.len());
    }
}

fn to_row(letter: &DeadLetter) -> [String; 8] {
    let dash = || "-".to_owned();
    let event = letter.event().ok();
    let of_event = |text: fn(&contracts::Event) -> String| event.as_ref().map_or_else(dash, text);
    [
        letter.id().to_string(),
        of_event(|event| event.id.to_string()),
        of_event(|event| event.event_type.clone()),
        of_event(|event| event.subject.clone()),
        letter.attempts.to_string(),
        letter.first_failed_at.map_or_else(dash, |at| at.to_string()),
        letter.last_failed_at.map_or_else(dash, |at| at.to_string()),
        short(&letter.error, MAX_ERROR),
    ]
}

fn to_json(letter: &DeadLetter) -> Value {
    let event = letter.event().ok();
    json!({
        "id": letter.id().to_string(),
        "queue": letter.group,
        "event_id": event.as_ref().map(|event| event.id),
        "type": event.as_ref().map(|event| &event.event_type),
        "subject": event.as_ref().map(|event| &event.subject),
        "attempts": letter.attempts,
        "first_failed_at": letter.first_failed_at,
        "last_failed_at": letter.last_failed_at,
        "error": letter.error,
    })
}

pub(super) fn letter(letter: &DeadLetter, as_json: bool) {
    // As it came: what a consumer would ignore is shown, too.
    let body = serde_json::from_str::<Value>(&letter.body);
    let mut fields = to_json(letter);
    if as_json {
        fields["body"] = body.unwrap_or_else(|_| Value::String(letter.body.clone()));
        println!("{fields:#}");
        return;
    }
    for field in
        ["id", "queue", "event_id", "type", "subject", "attempts", "first_failed_at", "last_failed_at", "error"]
    {
        let text = match &fields[field] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        println!("{field:<16} {text}");
    }
    match body {
        Ok(body) => println!("\n{body:#}"),
        Err(_) => println!("\nno event; the message as it came:\n{}", letter.body),
    }
}

pub(super) fn handled(verb: &str, handled: &Handled, as_json: bool) {
    if as_json {
        println!("{:#}", json!({ verb: handled.done, "not_found": handled.missing }));
    } else {
        println!("{verb}: {}", handled.done);
    }
}
