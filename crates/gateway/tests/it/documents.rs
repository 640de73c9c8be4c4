//! What the gateway says of itself.

use std::collections::{BTreeMap, BTreeSet};

use contracts::Reason;
use gateway::routes;
use reqwest::StatusCode;
use serde_json::Value;

use crate::world::World;

async fn document() -> Value {
    let world = World::new().await;
    let response = world.get("/openapi.json").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    operations
}

#[tokio::test]
async fn the_document_lists_every_route_that_is_registered_and_no_other() {
    let document = document().await;
    let described: BTreeSet<(String, String)> =
        operations(&document).into_iter().map(|(method, path, _)| (path, method)).collect();
    let registered: BTreeSet<(String, String)> = routes::table()
        .iter()
        .flat_map(|endpoint| {
            let path = endpoint.path().replace(":.*", "");
            let methods = endpoint.methods().iter().filter(|method| *method != "HEAD");
            methods.map(move |method| (path.clone(), method.to_string())).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(described, registered);
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_refers_only_to_what_it_holds() {
    let document = document().await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let bearer = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!((&bearer["type"], &bearer["scheme"]), (&Value::from("http"), &Value::from("bearer")));
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                references.push(reference.clone());
            }
            members.values().for_each(|member| collect_references(member, references));
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect_references(element, references)),
        _ => {}
    }
}

/// A default must fit its schema, and no schema of ours lets null in: validators refuse the whole document for one.
#[tokio::test]
async fn no_default_is_null() {
    let document = document().await;
    let mut found = Vec::new();
    null_defaults(&document, "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

fn null_defaults(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if members.get("default").is_some_and(Value::is_null) {
                found.push(at.to_owned());
            }
            members.iter().for_each(|(name, member)| null_defaults(member, &format!("{at}/{name}"), found));
        }
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(n, element)| null_defaults(element, &format!("{at}/{n}"), found));
        }
        _ => {}
    }
}

#[tokio::test]
async fn placing_an_order_is_described_with_every_verdict() {
    let document = document().await;
    let responses = &document["paths"]["/api/orders"]["post"]["responses"];
    for reason in [
        Reason::InvalidRequest,
        Reason::MalformedBody,
        Reason::AuthenticationRequired,
        Reason::InvalidToken,
        Reason::PaymentDeclined,
        Reason::OutOfStock,
        Reason::OrderCancelled,
        Reason::OrderInProgress,
        Reason::IdempotencyKeyReused,
        Reason::Unavailable,
        Reason::DeadlineExceeded,
        Reason::Internal,
    ] {
        let described = responses[reason.http_status().to_string()]["description"].as_str().unwrap_or_default();
        assert!(described.contains(reason.as_str()), "{} is not told of", reason.as_str());
    }
}

#[tokio::test]
async fn each_operation_is_complete() {
    let document = document().await;
    let mut ids = BTreeMap::new();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no id"));
        assert!(ids.insert(id.to_owned(), name.clone()).is_none(), "{id} is taken twice");
        assert!(operation["summary"].is_string(), "{name} has no summary");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with(['2', '3'])), "{name} never succeeds");
        for (status, response) in responses {
            let is_problem = response["content"].get("application/problem+json").is_some();
            let is_report = path == "/health/ready" && status == "503";
            assert_eq!(is_problem, status.starts_with(['4', '5']) && !is_report, "{name} {status}");
            if status.starts_with(['4', '5']) && path.starts_with("/api") {
                let schema = &response["content"]["application/problem+json"]["schema"];
                assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{name} {status}");
            }
        }
        for segment in path.split('/').filter(|segment| segment.starts_with('{')) {
            let parameter = segment.trim_matches(['{', '}']);
            let declared = operation["parameters"].as_array().unwrap();
            let found = declared.iter().find(|one| one["name"] == parameter && one["in"] == "path");
            assert_eq!(found.unwrap_or_else(|| panic!("{name}: {parameter}"))["required"], true);
        }
        let guarded = operation.get("security").is_some();
        assert_eq!(guarded, responses.contains_key("401") && !path.starts_with("/api/auth"), "{name}");
        if operation.get("requestBody").is_some() {
            for status in ["400", "413", "415"] {
                assert!(responses.contains_key(status), "{name} does not tell of {status}");
            }
        }
    }
}

#[tokio::test]
async fn swagger_ui_is_served_from_the_binary_and_shows_this_document() {
    let world = World::new().await;
    let to = world.get("/docs").send().await.unwrap();
    assert_eq!((to.status(), to.headers()["location"].to_str().unwrap()), (StatusCode::PERMANENT_REDIRECT, "/docs/"));
    let page = world.get("/docs/").send().await.unwrap();
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
    let page = page.text().await.unwrap();
    assert!(page.contains("swagger-ui"));
    assert!(!page.contains("<script>"), "the policy lets no inline script run");
    let script = world.get("/docs/swagger-initializer.js").send().await.unwrap();
    assert!(script.text().await.unwrap().contains("/openapi.json"));
    for file in ["swagger-ui.css", "swagger-ui-bundle.js"] {
        assert_eq!(world.get(&format!("/docs/{file}")).send().await.unwrap().status(), StatusCode::OK, "{file}");
    }
    assert_eq!(world.get("/docs/no-such-file").send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_front_page_leads_to_everything_and_health_is_told() {
    let world = World::new().await;
    let index: Value = world.get("/").send().await.unwrap().json().await.unwrap();
    for path in ["docs", "openapi", "health"] {
        let path = index[path].as_str().unwrap();
        assert!(world.get(path).send().await.unwrap().status().as_u16() < 400, "{path}");
    }
    let live: Value = world.get("/health/live").send().await.unwrap().json().await.unwrap();
    assert_eq!(live["status"], "alive");
    let ready: Value = world.get("/health/ready").send().await.unwrap().json().await.unwrap();
    assert_eq!((&ready["status"], &ready["checks"]["broker"]["status"]), (&"ready".into(), &"up".into()));
}
