//! Closed and open loop.

use std::time::Duration;

use loadtest::http::Url;
use loadtest::same_request::{Plan, run};
use tokio_util::sync::CancellationToken;

use crate::server::{Reply, Server};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn plan(server: &Server, rate: Option<f64>, duration: Duration) -> Plan {
    Plan {
        url: Url::of(server.address),
        headers: Vec::new(),
        rate,
        duration,
        connections: 4,
        timeout: Duration::from_secs(30),
        pids: vec![std::process::id()],
    }
}

#[tokio::test]
async fn a_closed_loop_counts_every_answer_once() {
    let server = Server::start(|_| Reply::Keep(OK)).await;
    let plan = plan(&server, None, Duration::from_millis(200));
    let (tally, summary) = run(&plan, &CancellationToken::new()).await.unwrap();
    assert!(summary.answered > 0);
    assert_eq!(summary.answered, server.requests());
    assert_eq!(tally.latency.count(), summary.answered);
    assert_eq!((tally.failed(), tally.unexpected, summary.unsent), (0, 0, 0));
    assert!((summary.body_bytes_mean - 2.0).abs() < f64::EPSILON);
    assert!(summary.throughput > 0.0 && summary.cpu_s_per_1000.is_some());
}

#[tokio::test]
async fn an_open_loop_sends_what_its_rate_and_duration_say() {
    let server = Server::start(|_| Reply::Keep(OK)).await;
    let plan = plan(&server, Some(500.0), Duration::from_millis(200));
    let (tally, summary) = run(&plan, &CancellationToken::new()).await.unwrap();
    assert_eq!((tally.answered(), server.requests(), summary.unsent), (100, 100, 0));
    assert!(summary.throughput <= 500.0, "the last request has its share of the time: {}", summary.throughput);
}

#[tokio::test]
async fn answers_are_counted_by_status_and_bad_ones_told() {
    let script = |number| match number {
        0 => Reply::Keep("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        1 => Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        _ => Reply::Keep(OK),
    };
    let server = Server::start(script).await;
    let plan = plan(&server, Some(1000.0), Duration::from_millis(50));
    let (tally, summary) = run(&plan, &CancellationToken::new()).await.unwrap();
    assert_eq!(summary.answers, [(200, 48), (503, 1)].into());
    assert_eq!(summary.failures, [("connection broke", 1)].into());
    assert_eq!((tally.unexpected, tally.example.as_deref()), (1, Some("status 503")));
}

#[tokio::test]
async fn requests_that_wait_for_a_connection_wait_in_the_latency_too() {
    // The first four answers never come: all connections are taken until they are given up, and the rest is late.
    let server = Server::start(|number| if number < 4 { Reply::Silence } else { Reply::Keep(OK) }).await;
    let mut plan = plan(&server, Some(1000.0), Duration::from_millis(20));
    plan.timeout = Duration::from_millis(300);
    let (tally, summary) = run(&plan, &CancellationToken::new()).await.unwrap();
    assert_eq!(summary.failures, [("timeout", 4)].into());
    assert_eq!(tally.answered(), 16);
    // Sent after 300 ms, and due within the first 20: from sending it would be next to nothing.
    assert!(summary.latency.p50_ms >= 250.0, "{:?}", summary.latency);
}

#[tokio::test]
async fn ended_early_it_tells_what_it_has() {
    let server = Server::start(|number| if number < 10 { Reply::Keep(OK) } else { Reply::Silence }).await;
    let plan = plan(&server, None, Duration::from_hours(1));
    let stop = CancellationToken::new();
    let (cancel, running) = (stop.clone(), run(&plan, &stop));
    let ends = async {
        // Ten answers, and all four connections wait for one that does not come.
        while server.requests() < 14 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(running, ends);
    let (tally, summary) = result.unwrap();
    assert_eq!((summary.answered, tally.failed()), (10, 0));
}
