//! Settings of log files.

use std::path::PathBuf;
use std::str::FromStr;

use observability::logs::FileSettings;

use crate::settings::Source;

/// A file is closed at the earliest when it holds this much: below, files would be closed faster than they are compressed.
const MIN_BYTES: u64 = 64 * 1024;

/// Reads them; a lone service has a folder of its own inside the one that all are given.
pub(crate) fn load(source: &mut Source) -> Option<FileSettings> {
    let dir: Option<Folder> = source.optional(
        "SOUK_LOG_DIR",
        "folder of combined.log, error.log and access.log (JSON); a service alone uses <folder>/<service>; not set: no files",
    );
    let max: ByteSize = source.or(
        "SOUK_LOG_MAX_BYTES",
        "100MB",
        "size at which a log file is closed and compressed: bytes, or with kB, MB, GB, KiB, MiB, GiB; also at midnight UTC",
    );
    let days: Within<1, 3650> = source.or("SOUK_LOG_KEEP_DAYS", "30", "days that closed log files are kept");
    let files: Within<1, 10_000> =
        source.or("SOUK_LOG_KEEP_FILES", "100", "closed log files kept of each kind: combined, error, access");
    dir.map(|Folder(dir)| FileSettings {
        dir: source.lone_service().map_or_else(|| dir.clone(), |service| dir.join(service)),
        max_bytes: max.0,
        keep_days: days.0,
        keep_files: files.0 as usize,
    })
}

struct Folder(PathBuf);

impl FromStr for Folder {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Err("name a folder, or leave it unset for no files") } else { Ok(Self(text.into())) }
    }
}

/// Bytes: `100000000`, `100MB` (powers of 1000), `95MiB` (powers of 1024).
struct ByteSize(u64);

impl FromStr for ByteSize {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err("use a number of bytes, or one with kB, MB, GB, KiB, MiB or GiB, such as 100MB".to_owned()),
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        match bytes {
            Some(bytes) if bytes >= MIN_BYTES => Ok(Self(bytes)),
            Some(_) => Err("must be at least 64KiB".to_owned()),
            None => Err("use a whole number, such as 100MB".to_owned()),
        }
    }
}

/// A number in bounds.
struct Within<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> FromStr for Within<MIN, MAX> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(format!("must be a whole number from {MIN} to {MAX}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn source(pairs: &[(&str, &str)]) -> Source {
        let environment: BTreeMap<_, _> = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Source::new(None, &environment)
    }

    #[test]
    fn without_a_folder_there_are_no_files() {
        let mut source = source(&[("SOUK_LOG_MAX_BYTES", "1MB")]);
        assert_eq!(load(&mut source), None);
        source.finish().unwrap();
    }

    #[test]
    fn all_services_of_a_process_share_a_folder_and_a_lone_one_has_its_own() {
        let given = [("SOUK_LOG_DIR", "logs"), ("SOUK_LOG_KEEP_DAYS", "7"), ("SOUK_LOG_KEEP_FILES", "9")];
        let files = load(&mut source(&given)).unwrap();
        let expected = FileSettings { keep_days: 7, keep_files: 9, ..FileSettings::new("logs") };
        assert_eq!(files, expected);
        let files = load(&mut source(&given).for_lone_service("orders")).unwrap();
        assert_eq!(files.dir, PathBuf::from("logs/orders"));
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        let sizes = [
            ("65536", 65_536),
            ("100MB", 100_000_000),
            ("100 mb", 100_000_000),
            ("64KiB", 65_536),
            ("1GiB", 1 << 30),
            ("2GB", 2_000_000_000),
            ("100kB", 100_000),
        ];
        for (text, bytes) in sizes {
            assert_eq!(text.parse::<ByteSize>().ok().map(|size| size.0), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_setting_is_refused_with_what_would_be() {
        let refused = [
            ("SOUK_LOG_DIR", "", "name a folder"),
            ("SOUK_LOG_MAX_BYTES", "big", "'big' is not valid: use a number of bytes"),
            ("SOUK_LOG_MAX_BYTES", "MB", "use a whole number"),
            ("SOUK_LOG_MAX_BYTES", "-1", "use a number of bytes"),
            ("SOUK_LOG_MAX_BYTES", "99999999999999GB", "use a whole number"),
            ("SOUK_LOG_MAX_BYTES", "10kB", "must be at least 64KiB"),
            ("SOUK_LOG_KEEP_DAYS", "0", "must be a whole number from 1 to 3650"),
            ("SOUK_LOG_KEEP_FILES", "many", "must be a whole number from 1 to 10000"),
        ];
        for (key, value, told) in refused {
            let mut source = source(&[(key, value)]);
            load(&mut source);
            let message = source.finish().unwrap_err().to_string();
            assert!(message.contains(key) && message.contains(told), "{message}");
        }
    }
}
