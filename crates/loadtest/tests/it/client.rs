//! The HTTP client.

use loadtest::http::{Connection, HttpError, Request, Url};

use crate::server::{Reply, Script, Server};

/// Status and body, or what went wrong.
type Answered = Result<(u16, String), &'static str>;

/// Asks `times` on one connection; the bodies with their statuses, and how often the connection was opened again.
async fn ask(script: Script, times: usize) -> (Vec<Answered>, u64) {
    let server = Server::start(script).await;
    let request = Request::default().to_bytes(&Url::of(server.address));
    let mut connection = Connection::to(server.address);
    let mut answers = Vec::new();
    for _ in 0..times {
        let answer = connection.send(&request, true).await;
        let answer = answer.map(|answer| {
            assert_eq!(answer.body_bytes, answer.body.len() as u64);
            (answer.status, String::from_utf8(answer.body).unwrap())
        });
        answers.push(answer.map_err(|error| error.kind()));
    }
    (answers, connection.reopened())
}

#[expect(clippy::unnecessary_wraps, reason = "it stands among failures")]
fn ok(body: &str) -> Answered {
    Ok((200, body.to_owned()))
}

#[tokio::test]
async fn answers_of_each_framing_follow_each_other_on_one_connection() {
    let script = |number| match number {
        0 => Reply::Keep("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"),
        1 => Reply::Keep(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3;x=y\r\nond\r\n0\r\nT: r\r\n\r\n",
        ),
        2 => Reply::Keep("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        _ => Reply::Close("HTTP/1.1 200 OK\r\n\r\nto the end"),
    };
    let (answers, reopened) = ask(script, 4).await;
    assert_eq!(answers, [ok("first"), ok("second"), Ok((204, String::new())), ok("to the end")]);
    assert_eq!(reopened, 0);
}

#[tokio::test]
async fn a_connection_that_the_server_announced_to_close_is_opened_again_without_a_failure() {
    let script = |_| Reply::Close("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(ask(script, 3).await, (vec![ok("ok"), ok("ok"), ok("ok")], 0));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_it_was_idle_is_tried_once_more() {
    let script = |_| Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(ask(script, 3).await, (vec![ok("ok"), ok("ok"), ok("ok")], 2));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_and_is_not_asked_for_again() {
    let script = |number| match number {
        1 => Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        _ => Reply::Keep("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    };
    assert_eq!(ask(script, 3).await, (vec![ok("ok"), Err("connection broke"), ok("ok")], 0));
}

#[tokio::test]
async fn what_is_no_http_is_a_failure() {
    let (answers, _) = ask(|_| Reply::Keep("SSH-2.0-OpenSSH\r\n"), 1).await;
    assert_eq!(answers, [Err("invalid answer")]);
    let script = |_| Reply::Keep("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntoo long\r\n");
    assert_eq!(ask(script, 1).await.0, [Err("invalid answer")]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure() {
    // Port 1 is tcpmux's, which nobody serves.
    let result = Connection::to(([127, 0, 0, 1], 1).into()).send(b"GET / HTTP/1.1\r\n\r\n", false).await;
    assert!(matches!(result, Err(HttpError::Connect(_))), "{result:?}");
}
