//! A mail server of the tests: real TCP, and it does what it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the server does with the next email.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Takes it.
    Accept,
    /// Answers so to its sender.
    Mail(&'static str),
    /// Answers so to its receiver.
    Rcpt(&'static str),
    /// Answers so when it has all of it.
    Data(&'static str),
    /// Closes the connection in the middle of it.
    DropInData,
    /// Says nothing any more when it has all of it.
    Hang,
}

/// What the server saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Emails that it took, whole.
    pub(crate) emails: Vec<String>,
    /// Connections.
    pub(crate) connections: usize,
    /// Emails that somebody began to send.
    pub(crate) attempts: usize,
    /// Answers to `AUTH`, base64.
    pub(crate) credentials: Vec<String>,
}

/// Runs until it is dropped.
pub(crate) struct SmtpServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    script: Arc<Mutex<VecDeque<Act>>>,
    _stop: DropGuard,
}

/// What each connection needs.
#[derive(Clone)]
struct Desk {
    seen: Arc<Mutex<Seen>>,
    script: Arc<Mutex<VecDeque<Act>>>,
    auth_answer: Arc<Mutex<&'static str>>,
}

impl SmtpServer {
    pub(crate) async fn start(script: &[Act]) -> Self {
        Self::start_at("127.0.0.1:0", script).await
    }

    pub(crate) async fn start_at(address: &str, script: &[Act]) -> Self {
        Self::start_with(address, script, "235 welcome").await
    }

    /// A server that answers credentials so.
    pub(crate) async fn start_with(address: &str, script: &[Act], auth_answer: &'static str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Desk {
            seen: Arc::default(),
            script: Arc::new(Mutex::new(script.iter().copied().collect())),
            auth_answer: Arc::new(Mutex::new(auth_answer)),
        };
        let (seen, script) = (Arc::clone(&desk.seen), Arc::clone(&desk.script));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                desk.seen.lock().unwrap().connections += 1;
                tokio::spawn(desk.clone().serve(stream));
            }
        }));
        Self { address, seen, script, _stop: stop.drop_guard() }
    }

    /// Looks at what the server saw.
    pub(crate) fn saw<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    /// What it does next, after what it was told before.
    pub(crate) fn then(&self, act: Act) {
        self.script.lock().unwrap().push_back(act);
    }
}

impl Desk {
    /// Whoever is served may leave at any moment.
    async fn serve(self, stream: TcpStream) {
        let _ = self.talk(stream).await;
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        say(&mut stream, "220 souk.test ready").await?;
        let mut act = Act::Accept;
        loop {
            let line = hear(&mut stream).await?;
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            let answer = match (verb.as_str(), act) {
                ("EHLO", _) => "250-souk.test\r\n250-8BITMIME\r\n250 AUTH PLAIN",
                ("AUTH", _) => {
                    self.seen.lock().unwrap().credentials.push(line);
                    *self.auth_answer.lock().unwrap()
                }
                ("MAIL", _) => {
                    act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Accept);
                    self.seen.lock().unwrap().attempts += 1;
                    if let Act::Mail(answer) = act { answer } else { "250 ok" }
                }
                ("RCPT", Act::Rcpt(answer)) => answer,
                ("DATA", _) => {
                    say(&mut stream, "354 go on").await?;
                    let Some(email) = read_email(&mut stream, act).await? else { return Ok(()) };
                    match act {
                        Act::Data(answer) => answer,
                        Act::Hang => std::future::pending().await,
                        _ => {
                            self.seen.lock().unwrap().emails.push(email);
                            "250 taken"
                        }
                    }
                }
                ("QUIT", _) => return say(&mut stream, "221 bye").await,
                _ => "250 ok",
            };
            say(&mut stream, answer).await?;
            if answer.starts_with("421") {
                return Ok(());
            }
        }
    }
}

/// The email up to the dot; `None` if the server leaves in the middle.
async fn read_email(stream: &mut BufReader<TcpStream>, act: Act) -> std::io::Result<Option<String>> {
    let mut email = String::new();
    loop {
        let line = hear(stream).await?;
        if matches!(act, Act::DropInData) {
            return Ok(None);
        }
        if line == "." {
            return Ok(Some(email));
        }
        email.push_str(line.strip_prefix('.').unwrap_or(&line));
        email.push('\n');
    }
}

async fn hear(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn say(stream: &mut BufReader<TcpStream>, answer: &str) -> std::io::Result<()> {
    stream.write_all(format!("{answer}\r\n").as_bytes()).await
}
