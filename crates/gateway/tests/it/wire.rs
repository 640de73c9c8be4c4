//! HTTP itself: unknown addresses, methods, requests that no client library would send.

use gateway::routes;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{PATIENCE, World, problem, refusal};

/// Sends these bytes and reads the head of the first answer.
async fn exchange(world: &World, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn an_address_that_nothing_is_at_is_404() {
    let world = World::new().await;
    for path in ["/nowhere", "/api", "/api/orders/", "/api//orders", "/API/orders", "/%2e%2e/etc/passwd", "/?/x"] {
        let response = world.get(path).send().await.unwrap();
        if path == "/?/x" {
            assert_eq!(response.status(), StatusCode::OK);
        } else {
            assert_eq!(refusal(response).await, "404 route-not-found", "{path}");
        }
    }
}

#[tokio::test]
async fn a_method_that_an_address_does_not_know_is_405_with_those_it_does() {
    let world = World::new().await;
    for endpoint in routes::table() {
        let known: Vec<String> = endpoint.methods().iter().map(ToString::to_string).collect();
        let path = endpoint.path().replace("{file:.*}", "x").replace(['{', '}'], "");
        for method in [Method::DELETE, Method::TRACE, Method::from_bytes(b"BREW").unwrap()] {
            let response = world.request(method.clone(), &path).send().await.unwrap();
            let allow = response.headers()["allow"].to_str().unwrap().to_owned();
            assert_eq!(refusal(response).await, "405 method-not-allowed", "{method} {path}");
            let allowed: Vec<&str> = allow.split(", ").collect();
            assert!(known.iter().all(|method| allowed.contains(&method.as_str())), "{path}: {allow}");
            assert!(!allowed.contains(&method.as_str()), "{path}: {allow}");
        }
        let options = world.request(Method::OPTIONS, &path).send().await.unwrap();
        assert_eq!(options.status(), StatusCode::NO_CONTENT, "{path}");
        assert!(options.headers().contains_key("allow"));
    }
}

#[tokio::test]
async fn head_answers_as_get_would_without_a_body() {
    let world = World::new().await;
    for path in ["/api/products", "/api/products/TEA-1", "/health/live", "/openapi.json", "/"] {
        let get = world.get(path).send().await.unwrap();
        let head = world.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), get.status(), "{path}");
        assert_eq!(head.headers()["content-type"], get.headers()["content-type"], "{path}");
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
    }
    let head = world.request(Method::HEAD, "/nowhere").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn requests_that_break_http_are_refused_and_the_gateway_lives_on() {
    let world = World::new().await;
    let login = "POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for (what, request) in [
        ("no HTTP at all", "\0\0\0\0\r\n\r\n".to_owned()),
        ("a chunk of no size", format!("{login}transfer-encoding: chunked\r\n\r\nzz\r\n")),
        ("a negative length", format!("{login}content-length: -1\r\n\r\n")),
        ("a length past every number", format!("{login}content-length: 99999999999999999999999\r\n\r\n")),
        ("two lengths", format!("{login}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}")),
        ("an address that is too long", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(200_000))),
        ("too many headers", format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(500))),
    ] {
        let answer = exchange(&world, request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
    }
    assert_eq!(world.get("/health/live").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_ends_early_or_never_comes_is_refused() {
    let settings =
        gateway::Settings { request_timeout: std::time::Duration::from_millis(300), ..crate::world::settings() };
    let world = World::with(settings).await;
    let login =
        "POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    let answer = exchange(&world, login.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn a_large_body_is_refused_in_words_although_it_was_still_being_sent() {
    let world = World::new().await;
    let body = vec![b' '; 5_000_000];
    let response = world.post("/api/auth/login").header("content-type", "application/json").body(body).send().await;
    assert_eq!(refusal(response.unwrap()).await, "413 body-too-large");
}

#[tokio::test]
async fn requests_are_measured_by_the_template_of_their_route_never_by_what_callers_write() {
    let world = World::new().await;
    let order = "0190a1b2-0000-7000-8000-00000000feed";
    world.get(&format!("/api/orders/{order}")).bearer_auth(world.token()).send().await.unwrap();
    world.get("/made-up-by-a-caller").send().await.unwrap();
    world.request(Method::from_bytes(b"MADEUP").unwrap(), "/api/orders").send().await.unwrap();
    let metrics = String::from_utf8(observability::metrics::render()).unwrap();
    assert!(metrics.contains(r#"method="GET",route="/api/orders/{id}",status="200""#), "{metrics}");
    assert!(metrics.contains(r#"route="unmatched",status="404""#));
    assert!(metrics.contains(r#"method="OTHER",route="/api/orders",status="405""#));
    for made_up in [order, "made-up-by-a-caller", "MADEUP"] {
        assert!(!metrics.contains(made_up), "{made_up}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_http_is_told_as_a_problem_like_everything_else() {
    let world = World::new().await;
    let response = world.get("/nowhere").send().await.unwrap();
    let problem = problem(response).await;
    assert_eq!(problem["instance"], "/nowhere");
    assert!(problem.get("errors").is_none());
}
