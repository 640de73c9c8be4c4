//! `docs/errors.md` is [`Reason::ALL`], row by row.

use std::fmt::Write as _;

use contracts::Reason;

const DOCUMENT: &str = "docs/errors.md";
const HEADER: &str =
    "| reason | gRPC code | HTTP | meaning | what the caller should do |\n| --- | --- | --- | --- | --- |\n";

/// `FAILED_PRECONDITION` for `FailedPrecondition`: the name that the gRPC specification uses.
fn code_name(reason: Reason) -> String {
    let mut name = String::new();
    for letter in format!("{:?}", reason.code()).chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn row(reason: Reason) -> String {
    let (code, http) = (code_name(reason), reason.http_status());
    format!("| `{}` | {code} | {http} | {} | {} |", reason.as_str(), reason.title(), reason.advice())
}

/// What differs between the rows of the document and those of the code, in words; empty if nothing does.
fn differences(documented: &[&str], expected: &[String]) -> Vec<String> {
    let name = |row: &str| row.split('`').nth(1).unwrap_or(row).to_owned();
    let find = |rows: &[String], wanted: &str| rows.iter().find(|row| name(row) == wanted).cloned();
    let documented: Vec<String> = documented.iter().map(|row| (*row).to_owned()).collect();
    let mut found = Vec::new();
    for row in expected {
        match find(&documented, &name(row)) {
            None => found.push(format!("{} is in the code and not in the document", name(row))),
            Some(other) if other != *row => {
                found.push(format!("{} differs:\n  document: {other}\n  code:     {row}", name(row)));
            }
            Some(_) => {}
        }
    }
    for row in &documented {
        if find(expected, &name(row)).is_none() {
            found.push(format!("{} is in the document and not in the code", name(row)));
        }
    }
    if found.is_empty() && documented != expected {
        found.push("the rows are in another order, or a row is there twice".to_owned());
    }
    found
}

#[test]
fn the_documented_refusals_are_those_of_the_code() {
    let text = std::fs::read_to_string(crate::repository(DOCUMENT)).unwrap();
    let documented: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = Reason::ALL.iter().map(|reason| row(*reason)).collect();
    let differences = differences(&documented, &expected);
    if !differences.is_empty() {
        let mut table = HEADER.to_owned();
        for row in &expected {
            let _ = writeln!(table, "{row}");
        }
        panic!("{DOCUMENT} and the code differ:\n- {}\n\nThe right table:\n\n{table}", differences.join("\n- "));
    }
}

#[test]
fn a_difference_is_named_in_both_directions() {
    let expected: Vec<String> = Reason::ALL.iter().map(|reason| row(*reason)).collect();
    let rows: Vec<&str> = expected.iter().map(String::as_str).collect();
    assert_eq!(differences(&rows, &expected), Vec::<String>::new());

    let first = Reason::ALL[0].as_str();
    assert_eq!(differences(&rows[1..], &expected), [format!("{first} is in the code and not in the document")]);
    assert_eq!(differences(&rows, &expected[1..]), [format!("{first} is in the document and not in the code")]);

    let changed = expected[0].replace("400", "409");
    let told = differences(&[&[changed.as_str()], &rows[1..]].concat(), &expected);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with(&format!("{first} differs")), "{told:?}");

    let mut swapped = rows.clone();
    swapped.swap(0, 1);
    assert_eq!(differences(&swapped, &expected).len(), 1, "order counts");
}
