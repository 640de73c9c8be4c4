//! The moment of a line, UTC.

use time::OffsetDateTime;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateFormat {
    /// `10/Oct/2000:13:55:36 +0000`: Apache's common log format.
    Clf,
    /// `2000-10-10T13:55:36.000Z`: ISO 8601.
    Iso,
    /// `Tue, 10 Oct 2000 13:55:36 GMT`: RFC 9110 §5.6.7.
    Web,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl DateFormat {
    /// Writes a moment.
    pub(super) fn of(self, at: OffsetDateTime) -> String {
        let at = at.to_offset(time::UtcOffset::UTC);
        let (year, day, (hour, minute, second)) = (at.year(), at.day(), at.to_hms());
        let month = MONTHS[usize::from(u8::from(at.month())) - 1];
        match self {
            Self::Clf => format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000"),
            Self::Iso => {
                let (month, ms) = (u8::from(at.month()), at.millisecond());
                format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
            }
            Self::Web => {
                let weekday = DAYS[usize::from(at.weekday().number_days_from_monday())];
                format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_as_morgan_documents_it() {
        // 2000-10-10T13:55:36Z, the example of morgan's README.
        let at = OffsetDateTime::from_unix_timestamp(971_186_136).unwrap();
        assert_eq!(DateFormat::Clf.of(at), "10/Oct/2000:13:55:36 +0000");
        assert_eq!(DateFormat::Iso.of(at), "2000-10-10T13:55:36.000Z");
        assert_eq!(DateFormat::Web.of(at), "Tue, 10 Oct 2000 13:55:36 GMT");
    }
}
