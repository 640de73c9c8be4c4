//! Frames as RFC 6455 has them, and as it forbids them, byte by byte.

use std::time::Duration;

use bytes::Bytes;
use socketio::{
    Namespace, Snapshot, SocketIo,
    handler::{Ack, Args, Data},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::raw::{Server, until, within};

const MAX_PAYLOAD: usize = 70_000;

fn server() -> Server {
    let namespace = Namespace::new("/")
        .on("echo", |Args(event): Args, ack: Ack| async move { ack.send_payload(event.without_name()) })
        .on("size", |Data(data): Data<Bytes>, ack: Ack| async move { ack.send(&data.len()) })
        .on("length", |Data(text): Data<String>, ack: Ack| async move { ack.send(&text.len()) });
    Server::start(SocketIo::builder().max_payload(MAX_PAYLOAD).namespace(namespace).build(), 2)
}

/// A TCP connection that has done the handshake and joined the main namespace.
struct Tcp(TcpStream);

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// A frame as a client sends it, with this first byte.
fn frame(first: u8, data: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut out = vec![first];
    match data.len() {
        short @ ..126 => out.push(0x80 + short as u8),
        medium @ ..=0xFFFF => {
            out.push(0x80 + 126);
            out.extend((medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 + 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(data.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn text(text: &str) -> Vec<u8> {
    frame(FIN | TEXT, text.as_bytes())
}

impl Tcp {
    async fn connect(server: &Server) -> Self {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            server.address
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the handshake", tcp.read_u8()).await.unwrap());
        }
        let mut tcp = Self(tcp);
        assert_eq!(tcp.read().await.unwrap().0, TEXT);
        tcp.write(&text("40")).await;
        assert!(tcp.read().await.unwrap().1.starts_with(b"40{"));
        tcp
    }

    async fn write(&mut self, bytes: &[u8]) {
        within("writing", self.0.write_all(bytes)).await.unwrap();
    }

    /// Opcode and data of the next frame; none at the end of the connection.
    async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let reading = async {
            let first = self.0.read_u8().await.ok()?;
            let length = match self.0.read_u8().await.ok()? {
                126 => usize::from(self.0.read_u16().await.ok()?),
                127 => self.0.read_u64().await.ok()? as usize,
                short => usize::from(short),
            };
            let mut data = vec![0; length];
            self.0.read_exact(&mut data).await.ok()?;
            assert_eq!(first & 0xF0, FIN, "whole frames without reserved bits");
            Some((first & 0x0F, data))
        };
        within("a frame", reading).await
    }

    async fn text(&mut self) -> String {
        let (opcode, data) = self.read().await.unwrap();
        assert_eq!(opcode, TEXT, "{data:?}");
        String::from_utf8(data).unwrap()
    }

    /// The code of the close frame that comes, and that the connection ends after it.
    async fn closed(&mut self) -> u16 {
        loop {
            let (opcode, data) = self.read().await.expect("a close frame before the end");
            if opcode == CLOSE {
                assert_eq!(self.read().await, None, "the connection ends");
                return data.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_may_be_cut_anywhere() {
    let server = server();
    let mut tcp = Tcp::connect(&server).await;
    let long = "é".repeat(200);
    let mut bytes = text(r#"421["echo","short"]"#);
    bytes.extend(frame(FIN | PING, b"in between"));
    bytes.extend(text(&format!(r#"422["length","{long}"]"#)));
    bytes.extend(text(r#"451-3["size",{"_placeholder":true,"num":0}]"#));
    bytes.extend(frame(FIN | BINARY, &[7; 300]));
    for cut in 1..bytes.len() {
        tcp.write(&bytes[..cut]).await;
        tokio::task::yield_now().await;
        tcp.write(&bytes[cut..]).await;
        let mut texts = Vec::new();
        let mut pongs = Vec::new();
        while texts.len() < 3 {
            match tcp.read().await.unwrap() {
                (TEXT, data) => texts.push(String::from_utf8(data).unwrap()),
                (PONG, data) => pongs.push(data),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(texts, [r#"431["short"]"#, "432[400]", "433[300]"], "cut at {cut}");
        assert_eq!(pongs, [b"in between"], "cut at {cut}");
    }
    // Byte by byte.
    for byte in &bytes {
        tcp.write(&[*byte]).await;
    }
    let mut texts = Vec::new();
    while texts.len() < 3 {
        if let Some((TEXT, data)) = tcp.read().await {
            texts.push(String::from_utf8(data).unwrap());
        }
    }
    assert_eq!(texts, [r#"431["short"]"#, "432[400]", "433[300]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_are_put_together_and_control_frames_may_stand_between() {
    let server = server();
    let mut tcp = Tcp::connect(&server).await;
    // The cut is in the midst of a character.
    let message = "421[\"echo\",\"é\"]".as_bytes();
    tcp.write(&frame(TEXT, &message[..12])).await;
    tcp.write(&frame(FIN | PING, b"now")).await;
    assert_eq!(tcp.read().await.unwrap(), (PONG, b"now".to_vec()));
    tcp.write(&frame(0, b"")).await;
    tcp.write(&frame(FIN | PONG, b"unasked")).await;
    tcp.write(&frame(FIN, &message[12..])).await;
    assert_eq!(tcp.text().await, "431[\"é\"]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_rules_ends_the_connection_with_the_right_code() {
    type Count = fn(&Snapshot) -> u64;
    let large = vec![b'x'; MAX_PAYLOAD + 1];
    let mut unmasked = text("2x");
    unmasked[1] &= 0x7F;
    let mut fragments_too_large = frame(TEXT, &large[..MAX_PAYLOAD]);
    fragments_too_large.extend(frame(FIN, b"yy"));
    let mut endless = vec![FIN | TEXT, 0x80 + 127];
    endless.extend([0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    let oversized: Count = |stats| stats.oversized_payloads;
    let parse_errors: Count = |stats| stats.parse_errors;
    let cases = [
        ("no mask", unmasked, 1002, None),
        ("reserved bit", frame(FIN | TEXT | 0x40, b"4"), 1002, None),
        ("unknown opcode", frame(FIN + 3, b""), 1002, None),
        ("unknown control opcode", frame(FIN + 11, b""), 1002, None),
        ("a control frame in parts", frame(PING, b""), 1002, None),
        ("a long ping", frame(FIN | PING, &[0; 126]), 1002, None),
        ("a rest without a beginning", frame(FIN, b"x"), 1002, None),
        ("a message within another", [frame(TEXT, b"4"), text("42")].concat(), 1002, None),
        ("too large", frame(FIN | TEXT, &large), 1009, Some(oversized)),
        ("too large in parts", fragments_too_large, 1009, Some(oversized)),
        ("a length beyond all bounds", endless, 1009, Some(oversized)),
        ("no UTF-8", frame(FIN | TEXT, b"42[\"\xff\"]"), 1007, Some(parse_errors)),
        ("an unknown packet", text("9"), 1007, Some(parse_errors)),
        ("an empty packet", text(""), 1007, Some(parse_errors)),
        ("malformed Socket.IO", text("42[\"x\""), 1007, Some(parse_errors)),
        ("a binary that nobody announced", frame(FIN | BINARY, b"x"), 1007, Some(parse_errors)),
        ("a close without a word", frame(FIN | CLOSE, b""), 1000, None),
        ("a close with its code", frame(FIN | CLOSE, b"\x03\xe9going"), 1001, None),
        ("a close with half a code", frame(FIN | CLOSE, b"\x03"), 1002, None),
        ("a close with a code that may not be sent", frame(FIN | CLOSE, b"\x03\xed"), 1002, None),
        ("a close with a word that is no text", frame(FIN | CLOSE, b"\x03\xe8\xff"), 1002, None),
    ];
    // At once: actix takes a second to end a connection on which more might come.
    let all = cases.map(async |(what, bytes, code, counter)| {
        let server = server();
        let mut tcp = Tcp::connect(&server).await;
        tcp.write(&bytes).await;
        assert_eq!(tcp.closed().await, code, "{what}");
        let stats = server.until_empty().await;
        let counted: u64 = [oversized, parse_errors].map(|count| count(&stats)).iter().sum();
        assert_eq!(
            (counter.map(|count| count(&stats)), counted),
            (counter.map(|_| 1), counter.iter().len() as u64),
            "{what}"
        );
    });
    futures::future::join_all(all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_the_greatest_size_are_taken() {
    let server = server();
    let mut tcp = Tcp::connect(&server).await;
    let head = r#"421["length",""#;
    let message = format!("{head}{}\"]", "x".repeat(MAX_PAYLOAD - head.len() - 2));
    assert_eq!(message.len(), MAX_PAYLOAD);
    tcp.write(&text(&message)).await;
    assert_eq!(tcp.text().await, format!("431[{}]", MAX_PAYLOAD - head.len() - 2));
    tcp.write(&text(r#"451-2["size",{"_placeholder":true,"num":0}]"#)).await;
    tcp.write(&frame(FIN | BINARY, &vec![0; MAX_PAYLOAD])).await;
    assert_eq!(tcp.text().await, format!("432[{MAX_PAYLOAD}]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_whose_answers_are_not_read_are_answered_for_the_last_one() {
    let server = server();
    let mut tcp = Tcp::connect(&server).await;
    let mut pings = Vec::new();
    for number in 0..50_000_u32 {
        pings.extend(frame(FIN | PING, &number.to_be_bytes()));
    }
    tcp.write(&pings).await;
    tcp.write(&text(r#"421["echo"]"#)).await;
    let mut answered: Vec<u32> = Vec::new();
    loop {
        match tcp.read().await.unwrap() {
            (PONG, data) => answered.push(u32::from_be_bytes(data.try_into().unwrap())),
            (TEXT, _) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(answered.is_sorted(), "in order");
    assert_eq!(answered.last(), Some(&49_999));
    assert!(answered.len() < 25_000, "{} answers at once", answered.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_at_any_moment_leaves_nothing() {
    let server = server();
    let bytes = [frame(TEXT, b"42[\"echo\""), frame(FIN | PING, b"x"), frame(FIN, b",1]")].concat();
    for cut in 0..=bytes.len() {
        let mut tcp = Tcp::connect(&server).await;
        tcp.write(&bytes[..cut]).await;
    }
    server.until_empty().await;
    // Half-closed is closed.
    let mut tcp = Tcp::connect(&server).await;
    tcp.0.shutdown().await.unwrap();
    until("its end is seen", || (server.io.stats().sockets == 0).then_some(())).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), async { while tcp.read().await.is_some() {} }).await;
    assert!(ended.is_ok());
}
