//! Secrets are planted wherever a caller can put something, and looked for wherever telemetry goes.
//!
//! What must be nowhere: passwords, tokens, card numbers, addresses (email), names of people. What customers and staff write for
//! others to read (a note, where the parcel goes, a product's name, why someone is banned) is part of the order, the product or
//! the account, and so of their events; it is in no line, span or metric.

use std::path::Path;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::audit::Stores;
use crate::process::{PATIENCE, eventually};

use super::otlp::Receiver;
use super::scrape;
use super::shop::Shop;

/// The request whose traces are all there was to follow: what is looked for is found where it should be.
const CONTROL: &str = "canary-control";

/// Planted in requests.
const SECRETS: &[&str] = &[
    "Canary-registered-1",
    "Canary-guessed-2",
    "cnry3",
    "Canary-malformed-4",
    "Canary-typed-5",
    "canary.opaque-token.6",
    "canary.query-token.7",
    "canary.refresh-token.8",
    "canary.cookie-token.9",
    "4000056655665556",
    "4242424242424242",
    "378282246310005",
    "5555 5555 5555 4444",
    "5105105105105100",
];

/// Planted where others are to read it.
const WORDS: &[&str] =
    &["6011000990139424", "Canary Street 11", "3566002020360505", "canary-changed-my-mind", "canary-ban-reason"];

/// Planted addresses; the part before the sign, since some are cut there on their way.
const ADDRESSES: &[&str] =
    &["canary.registered", "canary.unknown", "canary.malformed", "canary.searched", "canary.agent", "canary.path"];

/// Planted names of people.
const NAMES: &[&str] = &["Canary Person", "Canary Renamed"];

struct Planter<'a> {
    shop: &'a Shop,
}

impl Planter<'_> {
    async fn ask(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.shop.client.request(method, self.shop.souk.url(path)).timeout(PATIENCE);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, token, Some(body)).await
    }

    /// Plants a refusal.
    async fn refused(&self, wanted: u16, path: &str, token: &str, body: Value) {
        let (status, answer) = self.post(path, token, body).await;
        assert_eq!(status, wanted, "{path}: {answer}");
    }

    async fn accounts(&self) -> (String, String, Vec<String>) {
        let account = json!({ "email": "canary.registered@souk.test", "password": "Canary-registered-1", "name": "Canary Person" });
        let (status, session) = self.post("/api/auth/register", "", account.clone()).await;
        assert_eq!(status, 201);
        let text = |name: &str| session[name].as_str().unwrap().to_owned();
        let (access, refresh, id) =
            (text("access_token"), text("refresh_token"), session["user"]["id"].as_str().unwrap());
        self.refused(409, "/api/auth/register", "", account).await;
        let guess = |email: &str| json!({ "email": email, "password": "Canary-guessed-2" });
        self.refused(401, "/api/auth/login", "", guess("canary.registered@souk.test")).await;
        self.refused(401, "/api/auth/login", "", guess("canary.unknown@souk.test")).await;
        self.refused(400, "/api/auth/login", "", guess("canary.malformed@@souk.test")).await;
        let short = json!({ "email": "canary.registered@souk.test", "password": "cnry3", "name": "Canary Person" });
        self.refused(400, "/api/auth/register", "", short).await;
        // Parsers like to quote what they can't read.
        let typed = json!({ "email": ["canary.malformed@souk.test"], "password": { "is": "Canary-typed-5" } });
        self.refused(400, "/api/auth/login", "", typed).await;
        let cut = r#"{"email":"canary.malformed@souk.test","password":"Canary-malformed-4"#;
        let request = self.shop.client.post(self.shop.souk.url("/api/auth/login"));
        let response = request.header("content-type", "application/json").body(cut).send().await.unwrap();
        assert_eq!(response.status(), 400);
        self.refused(401, "/api/auth/refresh", "", json!({ "refresh_token": "canary.refresh-token.8" })).await;
        let (status, renewed) = self.post("/api/auth/refresh", "", json!({ "refresh_token": refresh })).await;
        assert_eq!(status, 200);
        let (status, _) =
            self.ask(Method::PATCH, "/api/users/me", &access, Some(json!({ "name": "Canary Renamed" }))).await;
        assert_eq!(status, 200);
        let more = ["access_token", "refresh_token"].map(|name| renewed[name].as_str().unwrap().to_owned());
        (access, id.to_owned(), [vec![refresh], more.to_vec()].concat())
    }

    async fn orders(&self, token: &str) {
        let order = |method: &str| {
            json!({ "items": [{ "sku": "TEA-MINT-100", "quantity": 1 }], "payment_method": method,
                "note": "6011000990139424", "shipping_address": "Canary Street 11" })
        };
        for number in ["4000056655665556", "5555 5555 5555 4444"] {
            self.refused(400, "/api/orders", token, order(number)).await;
        }
        self.refused(402, "/api/orders", token, order("card_declined")).await;
        self.refused(400, "/api/orders", token, json!({ "items": "5105105105105100", "payment_method": "card_ok" }))
            .await;
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", CONTROL.parse().unwrap());
        headers.insert("cookie", "souk_access=canary.cookie-token.9".parse().unwrap());
        headers.insert("user-agent", "shopper/1 (canary.agent@souk.test)".parse().unwrap());
        let request = self.shop.client.post(self.shop.souk.url("/api/orders")).headers(headers).bearer_auth(token);
        let placed = request.json(&order("card_ok")).send().await.unwrap();
        assert_eq!(placed.status(), 201);
        let placed: Value = placed.json().await.unwrap();
        let cancel = format!("/api/orders/{}/cancel", placed["id"].as_str().unwrap());
        let (status, answer) = self.post(&cancel, token, json!({ "reason": "canary-changed-my-mind" })).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn addresses(&self, user: &str, token: &str, admin: &str) {
        let get = |path: &'static str, token: &str| {
            let token = token.to_owned();
            async move { self.ask(Method::GET, path, &token, None).await.0.as_u16() }
        };
        assert_eq!(get("/api/orders", "canary.opaque-token.6").await, 401);
        for path in ["/events", "/poll/0190a1b2-0000-7000-8000-000000000001", "/socket.io/"] {
            for name in ["token", "%74oken", "t%6fken", "TOKEN"] {
                let address = format!("{path}?EIO=4&transport=polling&{name}=canary.query-token.7");
                let response = self.shop.client.get(self.shop.souk.url(&address)).send().await.unwrap();
                assert_ne!(response.status().as_u16(), 500, "{address}");
            }
        }
        assert_eq!(get("/events?token=canary.query-token.7", "").await, 401);
        assert_eq!(get("/api/orders?token=canary.query-token.7", "").await, 401);
        get("/api/products?search=378282246310005", "").await;
        get("/api/products?no_such=378282246310005", "").await;
        assert_eq!(get("/api/products/4242424242424242", "").await, 404);
        assert_eq!(get("/no/such/canary.path@souk.test", "").await, 404);
        get("/api/users?search=canary.searched@souk.test", admin).await;
        get("/api/users/canary.searched@souk.test", admin).await;
        // A real token in the query, as a browser sends it.
        for address in [
            format!("/events?token={token}"),
            format!("/events?%74oken={token}"),
            format!("/poll/{user}?token={token}"),
            format!("/poll/{user}?t%6Fken={token}&cursor=0"),
        ] {
            let response = self.shop.client.get(self.shop.souk.url(&address)).send().await.unwrap();
            assert_eq!(response.status(), 200, "{address}");
        }
    }

    async fn staff(&self, user: &str, admin: &str) {
        let product = json!({ "sku": "CANARY-1", "name": "Gift card 3566002020360505", "description": "",
            "price": { "amount_minor": 100, "currency": "USD" }, "image_url": "", "tags": [] });
        let (status, answer) = self.post("/api/products", admin, product).await;
        assert_eq!(status, 201, "{answer}");
        let (status, answer) =
            self.post(&format!("/api/users/{user}/ban"), admin, json!({ "reason": "canary-ban-reason" })).await;
        assert!(status.is_success(), "{answer}");
    }
}

/// Every event that was ever published or waits in the broker, with its type.
fn events(folder: &Path) -> Vec<(String, Value)> {
    let read = |store: &str, sql: &str| -> Vec<String> {
        let path = folder.join(format!("{store}.db"));
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let services = ["users", "orders", "inventory", "payment", "notification"];
    let mut bodies: Vec<_> = services.iter().flat_map(|name| read(name, "SELECT body FROM events")).collect();
    bodies.extend(read("broker", "SELECT body FROM messages"));
    bodies
        .iter()
        .map(|body| {
            let event: Value = serde_json::from_str(body).unwrap();
            (event["type"].as_str().unwrap().to_owned(), event)
        })
        .collect()
}

/// What was found of these in the text, and where that was.
fn found(wanted: &[&str], place: &str, text: &str) -> Vec<String> {
    let line = |canary: &str| text.lines().find(|line| line.contains(canary)).unwrap_or_default().to_owned();
    wanted
        .iter()
        .filter(|canary| text.contains(**canary))
        .map(|canary| format!("{canary} in {place}: {}", line(canary)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_secrets_are_in_no_line_span_metric_or_event() {
    let receiver = Receiver::grpc();
    let settings = [("SOUK_OTLP_ENDPOINT", receiver.endpoint()), ("SOUK_LOG", "trace".to_owned())];
    let shop = Shop::open(&settings).await;
    let planter = Planter { shop: &shop };
    let admin = shop.souk.log_in(&shop.client, "admin@souk.test", "souk-demo-1").await;
    let (access, user, tokens) = planter.accounts().await;
    planter.orders(&access).await;
    planter.addresses(&user, &access, &admin).await;
    planter.staff(&user, &admin).await;
    let stores = Stores::of(shop.folder.path());
    eventually("all is done", PATIENCE, || stores.settled()).await;
    // The ban was the last that was asked for. What is left to tell is told at the end.
    receiver
        .until(|spans| {
            let is_there = spans.0.iter().any(|span| span.name == "process user.banned");
            if is_there { Ok(()) } else { Err("the ban has not been followed to its end".to_owned()) }
        })
        .await;
    let metrics = scrape::text_of(&shop.souk).await;
    let Shop { souk, output, folder, .. } = shop;
    assert_eq!(souk.stop().await, Some(0));

    let spans = receiver.spans().0.into_iter().map(|span| (format!("a span of {}", span.service), span.raw));
    let telemetry: Vec<(String, String)> =
        output.texts().into_iter().chain(spans).chain([("the metrics".to_owned(), metrics)]).collect();
    let events = events(folder.path());

    // What is looked for in this way is found.
    for log in ["stderr", "combined.log", "access.log"] {
        assert!(telemetry.iter().any(|(place, text)| place == log && text.contains(CONTROL)), "{log}");
    }
    assert!(telemetry.iter().any(|(place, text)| place.contains("span") && text.contains("POST /api/auth/login")));
    assert!(telemetry.iter().any(|(place, text)| place.contains("metrics") && text.contains("/api/auth/login")));
    assert!(events.iter().any(|(_, event)| event["requestid"] == CONTROL));
    assert!(events.iter().any(|(_, event)| event.to_string().contains("Canary Street 11")));
    for kind in ["user.registered", "user.updated"] {
        assert!(events.iter().any(|(told, event)| told == kind && event["subject"] == *user), "{kind}");
    }

    // The part that can't be guessed of a token, and the whole of one that is opaque.
    let tokens: Vec<_> =
        tokens.iter().chain([&access, &admin]).map(|token| token.rsplit('.').next().unwrap()).collect();
    let secrets: Vec<&str> = SECRETS.iter().copied().chain(tokens).collect();
    let mut leaks = Vec::new();
    for (place, text) in &telemetry {
        for wanted in [&secrets[..], WORDS, ADDRESSES, NAMES] {
            leaks.extend(found(wanted, place, text));
        }
    }
    for (kind, event) in events {
        let text = event.to_string();
        for wanted in [&secrets[..], ADDRESSES, NAMES] {
            leaks.extend(found(wanted, &kind, &text));
        }
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}
