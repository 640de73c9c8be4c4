//! Settings: defaults → `souk.toml` → environment → command line, typed, all problems in one message.
//!
//! Every name `SOUK_X` may also be given as `SOUK_X_FILE`, a file that holds the value (a mounted secret). In `souk.toml`
//! the same setting is the lower-case name without the prefix: `orders_grpc_addr = "…"`, or under a table:
//! `[orders]` `grpc_addr = "…"`. Unknown names are refused, so that a typo never passes for a default.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::SecretString;

const PREFIX: &str = "SOUK_";
/// Names with these beginnings belong to the tests.
const IGNORED: &[&str] = &["SOUK_TEST_"];
/// The services whose settings a lone neighbour leaves alone.
const SERVICES: &[&str] = &["GATEWAY", "USERS", "ORDERS", "INVENTORY", "PAYMENT", "NOTIFICATION"];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The settings file.
    File(PathBuf),
    /// The environment.
    Environment,
    /// A file that the environment names.
    MountedFile(PathBuf),
    /// An option of the command.
    CommandLine,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) | Self::MountedFile(path) => write!(f, "{}", path.display()),
            Self::Environment => f.write_str("environment"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// A setting as it holds: for `souk config`.
#[derive(Clone, Debug)]
pub struct Effective {
    /// `SOUK_ORDERS_GRPC_ADDR`.
    pub key: String,
    /// Its value, `***` for a secret, empty when not set.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    /// What it is for.
    pub help: String,
}

/// Everything wrong with the settings, at once.
#[derive(Debug, thiserror::Error)]
#[error("the settings are not valid:{}", .problems.iter().fold(String::new(), |text, problem| text + "\n  - " + problem))]
pub struct SettingsError {
    /// One sentence each, naming key, value and fix.
    pub problems: Vec<String>,
}

/// The raw settings, read one after the other by the parts of a process.
#[derive(Debug, Default)]
pub struct Source {
    values: BTreeMap<String, (String, Origin)>,
    known: BTreeSet<String>,
    effective: Vec<Effective>,
    problems: Vec<String>,
    alone: Option<&'static str>,
}

impl Source {
    /// Reads the environment given, and the file if there is one.
    pub fn new(file: Option<(&Path, &str)>, environment: &BTreeMap<String, String>) -> Self {
        let mut source = Self::default();
        if let Some((path, text)) = file {
            source.read_file(path, text);
        }
        for (key, value) in environment.iter().filter(|(key, _)| key.starts_with(PREFIX)) {
            if !IGNORED.iter().any(|prefix| key.starts_with(prefix)) {
                source.values.insert(key.clone(), (value.clone(), Origin::Environment));
            }
        }
        source.read_mounted_files();
        source
    }

    /// Reads the process's environment, and `file` or, without one, `souk.toml` in the working folder if it is there.
    pub fn of_process(file: Option<&Path>) -> Self {
        let environment = std::env::vars().collect();
        let path = file.unwrap_or(Path::new("souk.toml"));
        match std::fs::read_to_string(path) {
            Ok(text) => Self::new(Some((path, &text)), &environment),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Self::new(None, &environment)
            }
            Err(error) => {
                let mut source = Self::new(None, &environment);
                source.problems.push(format!("{} can't be read: {error}", path.display()));
                source
            }
        }
    }

    /// Leaves the settings of services other than this one alone, as a lone service must where all share an environment.
    pub fn for_lone_service(mut self, name: &'static str) -> Self {
        self.alone = Some(name);
        self
    }

    /// The service that is alone in this process, if one is.
    pub(crate) fn lone_service(&self) -> Option<&'static str> {
        self.alone
    }

    /// An option of the command line overrules everything.
    pub fn override_with(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(key.to_owned(), (value.into(), Origin::CommandLine));
    }

    /// What holds for a setting that nobody set: for a process that knows better than the part that reads it.
    pub fn default_for(&mut self, key: &str, value: impl Into<String>) {
        self.values.entry(key.to_owned()).or_insert_with(|| (value.into(), Origin::Default));
    }

    /// A setting with a default.
    pub fn or<T>(&mut self, key: &str, default: &str, help: &str) -> T
    where
        T: FromStr,
        T::Err: Display,
    {
        let (text, origin) = self.take(key).unwrap_or_else(|| (default.to_owned(), Origin::Default));
        self.report(key, &mask_url(&text), origin, help);
        text.parse().unwrap_or_else(|error| {
            self.problem(key, &format!("'{}' is not valid: {error}", mask_url(&text)));
            default.parse().unwrap_or_else(|_| panic!("the default of {key} must be valid"))
        })
    }

    /// A setting that may be absent.
    pub fn optional<T>(&mut self, key: &str, help: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some((text, origin)) = self.take(key) else {
            self.report(key, "", Origin::Default, help);
            return None;
        };
        self.report(key, &mask_url(&text), origin, help);
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(key, &format!("'{}' is not valid: {error}", mask_url(&text)));
                None
            }
        }
    }

    /// A setting that must be there: its absence is a problem, told with the others by [`Source::finish`].
    pub fn required(&mut self, key: &str, help: &str) -> String {
        let value: Option<String> = self.optional(key, help);
        if value.is_none() {
            self.problem(key, &format!("is not set: {help}"));
        }
        value.unwrap_or_default()
    }

    /// A secret that may be absent; shown as `***`.
    pub fn secret(&mut self, key: &str, help: &str) -> Option<SecretString> {
        let (value, origin) = match self.take(key) {
            Some((text, origin)) => (Some(SecretString::from(text)), origin),
            None => (None, Origin::Default),
        };
        self.report(key, if value.is_some() { "***" } else { "" }, origin, help);
        value
    }

    /// Adds a problem found by a rule over several settings.
    pub fn problem(&mut self, key: &str, problem: &str) {
        self.problems.push(format!("{key} {problem}"));
    }

    /// What was read so far.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Every value that somebody set, defaults left out: what child processes must be told.
    pub fn values(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }

    /// Ends the reading: what nobody asked for is unknown.
    ///
    /// # Errors
    /// [`SettingsError`] with every problem found.
    pub fn finish(mut self) -> Result<Vec<Effective>, SettingsError> {
        for (key, (_, origin)) in &self.values {
            if self.known.contains(key) || self.belongs_to_another(key) {
                continue;
            }
            let hint = self.nearest(key).map_or_else(String::new, |near| format!(", did you mean {near}?"));
            self.problems.push(format!("{key} (from {origin}) is no setting of Souk{hint}"));
        }
        if self.problems.is_empty() { Ok(self.effective) } else { Err(SettingsError { problems: self.problems }) }
    }

    fn belongs_to_another(&self, key: &str) -> bool {
        let Some(alone) = self.alone else { return false };
        let name = &key[PREFIX.len()..];
        let shared = ["BROKER_URL", "CACHE_URL", "REALTIME_URL", "DATA_DIR", "INTERNAL_ADDR"];
        // Where its callers find it is theirs to know.
        let own_address = name.strip_suffix("_URL").is_some_and(|service| service.eq_ignore_ascii_case(alone));
        shared.contains(&name)
            || own_address
            || SERVICES.iter().any(|service| {
                !service.eq_ignore_ascii_case(alone)
                    && name.strip_prefix(service).is_some_and(|rest| rest.starts_with('_'))
            })
    }

    fn nearest(&self, key: &str) -> Option<&String> {
        self.known
            .iter()
            .map(|known| (distance(key, known), known))
            .filter(|(far, _)| *far <= 3)
            .min()
            .map(|(_, known)| known)
    }

    fn take(&mut self, key: &str) -> Option<(String, Origin)> {
        self.known.insert(key.to_owned());
        self.values.get(key).cloned()
    }

    fn report(&mut self, key: &str, value: &str, origin: Origin, help: &str) {
        self.effective.push(Effective { key: key.to_owned(), value: value.to_owned(), origin, help: help.to_owned() });
    }

    fn read_file(&mut self, path: &Path, text: &str) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.read_table(path, PREFIX.trim_end_matches('_'), &table),
            Err(error) => self.problems.push(format!("{} is not valid TOML: {}", path.display(), error.message())),
        }
    }

    fn read_table(&mut self, path: &Path, prefix: &str, table: &toml::Table) {
        for (name, value) in table {
            let key = format!("{prefix}_{}", name.to_uppercase());
            let text = match value {
                toml::Value::Table(inner) => {
                    self.read_table(path, &key, inner);
                    continue;
                }
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Datetime(_) | toml::Value::Array(_) => {
                    self.problem(&key, &format!("in {} must be a text, a number or a boolean", path.display()));
                    continue;
                }
            };
            self.values.insert(key, (text, Origin::File(path.to_owned())));
        }
    }

    fn read_mounted_files(&mut self) {
        let twins: Vec<(String, String)> = self
            .values
            .iter()
            .filter_map(|(key, (path, _))| key.strip_suffix("_FILE").map(|twin| (twin.to_owned(), path.clone())))
            .collect();
        for (key, path) in twins {
            self.values.remove(&format!("{key}_FILE"));
            if matches!(self.values.get(&key), Some((_, Origin::Environment))) {
                self.problem(&key, "and its _FILE twin are both set: keep one");
                continue;
            }
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    self.values.insert(key, (text.trim().to_owned(), Origin::MountedFile(PathBuf::from(path))));
                }
                Err(error) => self.problem(&format!("{key}_FILE"), &format!("'{path}' can't be read: {error}")),
            }
        }
    }
}

/// Hides the password of an address such as `postgres://user:password@host/db`.
fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => match rest[..at].split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:***{}", &rest[at..]),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

/// Edits between two names (Levenshtein), for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_environment_overrules_the_file_and_the_file_the_default() {
        let file = "log = \"debug\"\n[orders]\ngrpc_addr = \"127.0.0.1:1\"\ndatabase_url = \"sqlite://a\"";
        let environment = environment(&[("SOUK_ORDERS_DATABASE_URL", "sqlite://b"), ("PATH", "/bin")]);
        let mut source = Source::new(Some((Path::new("souk.toml"), file)), &environment);
        assert_eq!(source.or::<String>("SOUK_LOG", "info", ""), "debug");
        assert_eq!(source.or::<SocketAddr>("SOUK_ORDERS_GRPC_ADDR", "0.0.0.0:2", "").port(), 1);
        assert_eq!(source.or::<String>("SOUK_ORDERS_DATABASE_URL", "sqlite://c", ""), "sqlite://b");
        assert_eq!(source.or::<u16>("SOUK_OTHER", "7", ""), 7);
        let origins: Vec<_> = source.finish().unwrap().into_iter().map(|setting| setting.origin.to_string()).collect();
        assert_eq!(origins, ["souk.toml", "souk.toml", "environment", "default"]);
    }

    #[test]
    fn every_problem_is_told_at_once_with_the_nearest_name() {
        let environment = environment(&[("SOUK_ORDER_GRPC_ADDR", "x"), ("SOUK_ORDERS_GRPC_ADDR", "nowhere")]);
        let mut source = Source::new(None, &environment);
        source.or::<SocketAddr>("SOUK_ORDERS_GRPC_ADDR", "0.0.0.0:2", "");
        source.required("SOUK_ORDERS_DATABASE_URL", "where orders are kept");
        let message = source.finish().unwrap_err().to_string();
        for part in ["'nowhere'", "did you mean SOUK_ORDERS_GRPC_ADDR?", "SOUK_ORDERS_DATABASE_URL is not set"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }

    #[test]
    fn secrets_come_from_mounted_files_and_are_never_shown() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let mut source = Source::new(None, &environment(&[("SOUK_SERVICE_SECRET_FILE", path.to_str().unwrap())]));
        assert_eq!(source.secret("SOUK_SERVICE_SECRET", "").unwrap().expose_secret(), "hunter2");
        let shown = format!("{:?}", source.finish().unwrap());
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        assert_eq!(mask_url("amqp://u:p@h:1/v"), "amqp://u:***@h:1/v");
        assert_eq!(mask_url("sqlite://a@b"), "sqlite://a@b");
    }

    #[test]
    fn a_lone_service_leaves_its_neighbours_settings_alone_but_not_its_own_typos() {
        let given = [("SOUK_USERS_DATABASE_URL", "x"), ("SOUK_ORDERS_URL", "x"), ("SOUK_ORDERS_TYPO", "x")];
        let given = environment(&given);
        let message = Source::new(None, &given).for_lone_service("orders").finish().unwrap_err().to_string();
        assert!(message.contains("SOUK_ORDERS_TYPO"), "{message}");
        assert!(!message.contains("SOUK_USERS") && !message.contains("SOUK_ORDERS_URL"), "{message}");
    }
}
