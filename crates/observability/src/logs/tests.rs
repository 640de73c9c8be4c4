use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Condvar, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tracing::{debug, error, info, warn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::queue::Batch;
use super::*;
use crate::RequestContext;
use crate::redact::{Email, Redacted};

const FOREVER: Duration = Duration::from_mins(1);

fn quiet(dir: &Path) -> LogSettings {
    LogSettings { console: Console::Off, files: Some(FileSettings::new(dir)), ..LogSettings::new("shop") }
}

/// Runs `work` with a log of its own and returns the lines of `combined.log`.
fn lines_of(settings: impl FnOnce(LogSettings) -> LogSettings, work: impl FnOnce(&LogControl)) -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let (layer, control, guard) = build(&settings(quiet(dir.path()))).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || work(&control));
    drop(guard);
    let text = fs::read_to_string(dir.path().join("combined.log")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// The names of a line in their order, repeated ones too.
fn names(line: &str) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Names {
        fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Names;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                    let mut names = Vec::new();
                    while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                        names.push(name);
                    }
                    Ok(Names(names))
                }
            }
            source.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Names>(line).unwrap().0
}

fn in_request(context: &RequestContext, work: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(context.clone().scope(async { work() }));
}

#[test]
fn a_line_of_a_request_carries_its_ids_and_its_fields_in_order() {
    let context = RequestContext::background();
    let at = time::macros::datetime!(2026-11-22 17:00:00.123 UTC);
    let lines = lines_of(
        |settings| LogSettings { clock: Clock::new(move || at), services: &[("orders", "ordering")], ..settings },
        |_| {
            in_request(&context, || {
                info!(
                    target: "orders::api",
                    total = 129_900_u64, order.id = "o-1", rate = 0.5, paid = true, left = i64::MIN, why = ?Some("x\ny"),
                    "order \"placed\""
                );
            });
            error!(nothing = f64::NAN);
        },
    );
    let expected = format!(
        concat!(
            r#"{{"timestamp":"2026-11-22T17:00:00.123Z","level":"info","service":"ordering","message":"order \"placed\"","#,
            r#""request_id":"{}","trace_id":"{}","span_id":"{}","#,
            r#""total":129900,"order.id":"o-1","rate":0.5,"paid":true,"left":-9223372036854775808,"why":"Some(\"x\\ny\")"}}"#
        ),
        context.request_id(),
        context.trace_id(),
        context.span_id()
    );
    assert_eq!(lines[0], expected);
    assert_eq!(names(&lines[1]), ["timestamp", "level", "service", "message", "nothing"]);
    assert_eq!((&parse(&lines[1])["service"], &parse(&lines[1])["nothing"]), (&"shop".into(), &"NaN".into()));
}

#[test]
fn no_line_has_a_name_twice() {
    let lines = lines_of(
        |settings| settings,
        |_| {
            let work = || info!(level = 1, service = "s", timestamp = 2, trace_id = "t", r#type = "c", "m");
            in_request(&RequestContext::background(), work);
            work();
            info!(twice = 1, twice = 2, "m");
        },
    );
    for line in &lines {
        let mut all = names(line);
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count, "{line}");
    }
    let (inside, outside) = (parse(&lines[0]), parse(&lines[1]));
    assert_eq!((&inside["level"], &inside["field.level"]), (&"info".into(), &1.into()));
    assert_eq!((&inside["field.trace_id"], &outside["trace_id"]), (&"t".into(), &"t".into()));
    assert_eq!(inside["type"], "c");
    assert_eq!(parse(&lines[2])["twice"], 1);
}

#[test]
fn secrets_are_in_no_line_by_name_by_type_or_by_value() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug alone")]
    struct Login {
        password: Redacted<&'static str>,
        note: &'static str,
    }
    #[derive(Debug, thiserror::Error)]
    #[error("no mail to jane.doe@souk.test")]
    struct NoMail;
    let planted = ["hunter2", "jane.doe", "4242424242424242", "4242 4242", "eyJhbGci", "s3cr3t"];
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let sink = Gated::open();
        let settings = LogSettings { format, secret_names: vec!["shoe_size".to_owned()], ..LogSettings::new("shop") };
        with_sink(&settings, sink.clone(), |_| {
            info!(
                password = "hunter2",
                user.email = "jane.doe@souk.test",
                access_token = 4_242_424_242_424_242_u64,
                "by name"
            );
            info!(shoe_size = "s3cr3t", shoe.size = ?"s3cr3t", "by a name that was given");
            let login = Login { password: Redacted("hunter2"), note: "kept" };
            info!(login = ?login, mail = %Email("jane.doe@souk.test"), "by type");
            info!(
                number = 4_242_424_242_424_242_u64,
                text = "paid by 4242 4242 4242 4242",
                "jane.doe@souk.test logged in"
            );
            warn!(error = &NoMail as &dyn std::error::Error, "jwt eyJhbGciOiJFUzI1NiJ9.e30.c2ln by value");
        });
        let told = sink.told();
        for secret in planted {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
        assert_eq!(told.lines().count(), 5, "{told}");
        for open in ["kept", "***@souk.test logged in", "no mail to ***@souk.test", "by a name that was given"] {
            assert!(told.contains(open), "{open} in {told}");
        }
    }
}

#[test]
fn the_filter_can_be_changed_from_one_line_to_the_next_and_is_no_other_layers_filter() {
    let beside = Counting::default();
    let dir = TempDir::new().unwrap();
    let (layer, control, guard) = build(&quiet(dir.path())).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer).with(beside.clone());
    tracing::subscriber::with_default(subscriber, || {
        let say = |text: &str| {
            debug!("{text}");
            debug!(target: ACCESS_TARGET, "{text}");
        };
        say("hidden");
        control.set("http").unwrap();
        say("http");
        control.set("debug").unwrap();
        say("debug");
        assert!(control.set("loud").is_err());
        assert_eq!(control.get(), "debug");
        control.set("error").unwrap();
        say("hidden");
    });
    drop(guard);
    let text = fs::read_to_string(dir.path().join("combined.log")).unwrap();
    let told: Vec<_> = text.lines().map(parse).map(|line| format!("{} {}", line["level"], line["message"])).collect();
    assert_eq!(told, [r#""http" "http""#, r#""debug" "debug""#, r#""http" "debug""#]);
    assert_eq!(*beside.0.lock().unwrap(), 8, "the other layer saw all");
}

#[test]
fn nothing_is_lost_at_the_end() {
    let lines = lines_of(
        |settings| settings,
        |_| {
            for n in 0..5000 {
                info!(n, "line");
            }
        },
    );
    assert_eq!(lines.len(), 5000);
    assert_eq!(parse(&lines[4999])["n"], 4999);
}

#[test]
fn a_transport_that_stands_still_costs_lines_not_time_and_tells_how_many() {
    let sink = Gated::closed();
    let queue = QueueLimits { lines: 80, bytes: 1024 * 1024 };
    let before = level::DROPPED.get();
    with_sink(&LogSettings { queue, ..LogSettings::new("shop") }, sink.clone(), |control| {
        info!("first");
        sink.wait_entered();
        for n in 0..100 {
            info!(n, "flood");
        }
        for n in 0..5 {
            error!(n, "failed");
        }
        assert!(!control.flush(Duration::ZERO));
        sink.open_gate();
        assert!(control.flush(FOREVER));
        info!("after");
    });
    let told = sink.told();
    let messages: Vec<_> = told.lines().map(|line| parse(line)["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(messages.iter().filter(|message| *message == "flood").count(), 70);
    assert_eq!(messages.iter().filter(|message| *message == "failed").count(), 5);
    assert_eq!(messages[messages.len() - 2..], ["30 log lines were dropped", "after"]);
    assert!(level::DROPPED.get() - before >= 30);
}

#[test]
fn lines_are_counted_by_level() {
    let count = |level: &str| {
        let text = String::from_utf8(crate::metrics::render()).unwrap();
        let name = format!("log_lines_total{{level=\"{level}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(name.as_str()).map(|n| n.parse::<u64>().unwrap()));
        line.unwrap_or_else(|| panic!("{name} in {text}"))
    };
    lines_of(|settings| settings, |_| ());
    let before = (count("warn"), count("trace"));
    lines_of(|settings| settings, |_| warn!("counted"));
    assert!(count("warn") > before.0);
    assert_eq!(count("trace"), before.1, "nobody here traces");
}

#[test]
fn a_value_without_end_is_cut() {
    struct Endless;
    impl std::fmt::Display for Endless {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            loop {
                f.write_str("ä")?;
            }
        }
    }
    let lines = lines_of(|settings| settings, |_| info!(endless = %Endless, after = 1, "{}", "x".repeat(100_000)));
    let told = parse(&lines[0]);
    for cut in [&told["endless"], &told["message"]] {
        let cut = cut.as_str().unwrap();
        assert!(cut.ends_with('…') && cut.len() < 33 * 1024);
    }
    assert_eq!(told["after"], 1);
}

#[test]
fn a_console_that_is_gone_stops_neither_the_process_nor_the_files() {
    let dir = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "logs::tests::speaks_to_a_console_that_is_gone", "--ignored", "--nocapture"])
        .env("LOG_TEST_DIR", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    // Only now it may begin.
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let text = fs::read_to_string(dir.path().join("combined.log")).unwrap();
    let messages: Vec<_> = text.lines().map(|line| parse(line)["message"].clone()).collect();
    assert_eq!(messages, ["inside", "outside", "inside", "outside"]);
}

#[test]
#[ignore = "run as a process of its own by the test above"]
fn speaks_to_a_console_that_is_gone() {
    let Some(dir) = std::env::var_os("LOG_TEST_DIR").map(PathBuf::from) else { return };
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    let (layer, control, guard) = build(&LogSettings { console: Console::Stderr, ..quiet(&dir) }).unwrap();
    tracing_subscriber::registry().with(layer).init();
    // And a value that logs while it is written: only a subscriber of the whole process hears of it.
    for _ in 0..2 {
        info!(value = ?Chatty, "outside");
        assert!(control.flush(FOREVER));
    }
    drop(guard);
    info!("and nobody this");
}

struct Chatty;

impl std::fmt::Debug for Chatty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        info!("inside");
        f.write_str("chatty")
    }
}

/// A transport that stands still until its gate is open, and remembers what it was given.
#[derive(Clone)]
struct Gated(Arc<(Mutex<Gate>, Condvar)>);

#[derive(Default)]
struct Gate {
    open: bool,
    entered: bool,
    told: Vec<u8>,
}

impl Gated {
    fn closed() -> Self {
        Self(Arc::default())
    }

    fn open() -> Self {
        let gated = Self::closed();
        gated.open_gate();
        gated
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.0.0.lock().unwrap()
    }

    fn open_gate(&self) {
        self.gate().open = true;
        self.0.1.notify_all();
    }

    fn wait_entered(&self) {
        let (gate, late) = self.0.1.wait_timeout_while(self.gate(), FOREVER, |gate| !gate.entered).unwrap();
        drop(gate);
        assert!(!late.timed_out());
    }

    fn told(&self) -> String {
        String::from_utf8(self.gate().told.clone()).unwrap()
    }
}

impl Sink for Gated {
    fn write(&mut self, batch: &Batch) -> u64 {
        let mut gate = self.gate();
        gate.entered = true;
        self.0.1.notify_all();
        let mut gate = self.0.1.wait_while(gate, |gate| !gate.open).unwrap();
        gate.told.extend_from_slice(&batch.bytes);
        0
    }
}

fn with_sink(settings: &LogSettings, sink: Gated, work: impl FnOnce(&LogControl)) {
    let mut outputs = Outputs::new(settings);
    outputs.add_console(sink).unwrap();
    let (layer, control, guard) = outputs.assemble(filter::parse(&settings.filter).unwrap());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || work(&control));
    drop(guard);
}

/// A layer without a filter.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<u32>>);

impl<S: tracing::Subscriber> Layer<S> for Counting {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        *self.0.lock().unwrap() += 1;
    }
}
