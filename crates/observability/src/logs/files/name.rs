//! Names of log files.

use std::fmt;

use time::{Date, Month};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileKind {
    /// Every line.
    Combined,
    /// Lines of level `error`.
    Error,
    /// Lines of the access log.
    Access,
}

impl FileKind {
    pub(super) const ALL: [Self; 3] = [Self::Combined, Self::Error, Self::Access];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::Error => "error",
            Self::Access => "access",
        }
    }

    /// The file that is written: `combined.log`.
    pub(super) fn current(self) -> String {
        format!("{}.log", self.name())
    }
}

/// A file that is written no more: the first of a day is `combined-2026-11-22.1.log`. Sorts by kind, then age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClosedName {
    pub(super) kind: FileKind,
    pub(super) day: Date,
    pub(super) number: u32,
}

impl fmt::Display for ClosedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, day, number } = self;
        write!(f, "{}-{:04}-{:02}-{:02}.{number}.log", kind.name(), day.year(), u8::from(day.month()), day.day())
    }
}

impl ClosedName {
    /// Reads what `Display` writes, and nothing else: other files in the folder are not ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let kind = FileKind::ALL.into_iter().find(|kind| name.starts_with(kind.name()))?;
        let rest = name.strip_prefix(kind.name())?.strip_prefix('-')?.strip_suffix(".log")?;
        let (day, number) = rest.split_once('.')?;
        let closed = Self { kind, day: parse_day(day)?, number: number.parse().ok()? };
        (closed.to_string() == name).then_some(closed)
    }

    /// The name of its archive.
    pub(super) fn archive(&self) -> String {
        format!("{self}.gz")
    }
}

/// Reads `2026-11-22`.
pub(super) fn parse_day(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_foreign_ones_are_not() {
        let name = ClosedName { kind: FileKind::Error, day: date!(2026 - 01 - 02), number: 12 };
        assert_eq!(name.to_string(), "error-2026-01-02.12.log");
        assert_eq!(ClosedName::parse("error-2026-01-02.12.log"), Some(name));
        for foreign in [
            "error.log",
            "error-2026-01-02.12.log.gz",
            "error-2026-1-2.12.log",
            "error-2026-01-02.+1.log",
            "error-2026-13-02.1.log",
            "other-2026-01-02.1.log",
            "error-2026-01-02.log",
        ] {
            assert_eq!(ClosedName::parse(foreign), None, "{foreign}");
        }
    }
}
