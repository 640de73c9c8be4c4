//! The lines of a process's life, from when it serves until its end.

use serde_json::{Value, json};

use super::shop::Shop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serving_stopping_and_the_end_are_lines_and_all_lines_are_json_to_the_last() {
    let shop = Shop::open(&[("SOUK_LOG", "info".to_owned())]).await;
    let Shop { souk, output, folder, .. } = shop;
    let (gateway, internal) = (souk.gateway.to_string(), souk.internal.to_string());
    assert_eq!(souk.stop().await, Some(0));

    let lines = output.lines();
    let at = |message: &str| -> (usize, &Value) {
        let told = |line: &Value| line["message"].as_str().unwrap().starts_with(message);
        let found: Vec<_> = lines.iter().enumerate().filter(|(_, line)| told(line)).collect();
        assert_eq!(found.len(), 1, "{message} in {lines:#?}");
        found[0]
    };
    let (serving, stopping, stopped) = (at("serving"), at("stopping"), at("stopped"));
    let wanted = json!({
        "level": "info",
        "service": "souk",
        "version": env!("CARGO_PKG_VERSION"),
        "gateway": gateway,
        "internal": internal,
        "data_dir": folder.path().display().to_string(),
    });
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&serving.1[name], value, "{name} of {}", serving.1);
    }
    assert!(serving.0 < stopping.0 && stopping.0 < stopped.0, "{lines:#?}");
    assert!(stopped.1["stop_ms"].is_u64(), "{}", stopped.1);
}
