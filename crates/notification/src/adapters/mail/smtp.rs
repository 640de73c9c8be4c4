//! Emails by a mail server (RFC 5321).

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

use super::compose::compose;
use crate::application::ports::{MailError, Mailer, OutgoingEmail};
use crate::settings::{SmtpTls, SmtpUrl};

/// Most connections that are kept for the next email.
const MAX_IDLE: usize = 4;
/// Longest wait for a connection to be ready, credentials included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest wait for an email to be accepted.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// "Service not available, closing transmission channel": what a server says that has had enough of a connection.
const CLOSING: u16 = 421;

/// A mail server; connections are kept and used again.
pub struct SmtpMailer {
    server: SmtpUrl,
    tls: Option<TlsParameters>,
    hello: ClientId,
    from: Mailbox,
    connect_timeout: Duration,
    send_timeout: Duration,
    idle: Mutex<Vec<AsyncSmtpConnection>>,
}

/// The certificates of a mail server can't be checked as the settings want it.
#[derive(Debug, thiserror::Error)]
pub enum SmtpTlsError {
    /// The file of the authority.
    #[error("the file of the authority could not be read")]
    File(#[source] std::io::Error),
    /// The authority, or the name of the server.
    #[error("TLS could not be set up: is the file of the authority PEM, and the host a name?")]
    Tls(#[source] Error),
}

/// What a mail server or the way to it did. Never the server's own words: they quote addresses.
#[derive(Debug, thiserror::Error)]
enum SmtpFailure {
    #[error("the mail server answered {0}")]
    Answered(String),
    #[error("the mail server gave no answer in time")]
    TimedOut,
    #[error("the mail server does not offer STARTTLS, and the settings require it")]
    NoTls,
    #[error("TLS with the mail server failed")]
    Tls(#[source] std::io::Error),
    #[error("the connection to the mail server failed")]
    Connection(#[source] std::io::Error),
    #[error("the mail server can't do what is needed, or was not understood")]
    Misunderstood,
}

impl SmtpMailer {
    /// A mailer that sends by this server from this sender. It connects when there is an email.
    ///
    /// # Errors
    /// [`SmtpTlsError`].
    pub fn new(server: SmtpUrl, from: Mailbox) -> Result<Self, SmtpTlsError> {
        let tls = match server.tls {
            SmtpTls::None => None,
            SmtpTls::Opportunistic | SmtpTls::Required | SmtpTls::Implicit => Some(tls_parameters(&server)?),
        };
        Ok(Self {
            server,
            tls,
            hello: ClientId::Domain(from.email.domain().to_owned()),
            from,
            connect_timeout: CONNECT_TIMEOUT,
            send_timeout: SEND_TIMEOUT,
            idle: Mutex::default(),
        })
    }

    /// The same with other limits to its patience.
    #[must_use]
    pub fn with_timeouts(self, connect_timeout: Duration, send_timeout: Duration) -> Self {
        Self { connect_timeout, send_timeout, ..self }
    }

    /// A connection that was kept and still answers; `None` if there is none.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let mut connection = self.take_idle()?;
            let answers = tokio::time::timeout(self.connect_timeout, connection.test_connected()).await;
            if answers.unwrap_or(false) {
                return Some(connection);
            }
        }
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop()
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// A new connection, ready to send. Whatever fails here says nothing about an email: it may be tried again.
    async fn connect(&self) -> Result<AsyncSmtpConnection, MailError> {
        let connecting = tokio::time::timeout(self.connect_timeout, self.try_connect()).await;
        connecting.unwrap_or(Err(SmtpFailure::TimedOut)).map_err(unavailable)
    }

    async fn try_connect(&self) -> Result<AsyncSmtpConnection, SmtpFailure> {
        let server = (self.server.host.as_str(), self.server.port);
        let wrapper = self.tls.clone().filter(|_| self.server.tls == SmtpTls::Implicit);
        let connecting = AsyncSmtpConnection::connect_tokio1(server, None, &self.hello, wrapper, None);
        let mut connection = connecting.await.map_err(|error| failure(&error))?;
        match (self.server.tls, &self.tls) {
            (SmtpTls::Required, _) if !connection.can_starttls() => return Err(SmtpFailure::NoTls),
            (SmtpTls::Required | SmtpTls::Opportunistic, Some(tls)) if connection.can_starttls() => {
                connection.starttls(tls.clone(), &self.hello).await.map_err(|error| failure(&error))?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.server.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(|error| failure(&error))?;
        }
        Ok(connection)
    }

    /// Sends, and keeps the connection if the email was accepted; it is closed in every other case, also when the caller gives
    /// up in the middle: a server never takes half an email for a whole one.
    async fn send_by(&self, mut connection: AsyncSmtpConnection, message: &lettre::Message) -> Result<(), Error> {
        connection.send(message.envelope(), &message.formatted()).await?;
        self.keep(connection);
        Ok(())
    }

    async fn try_send(&self, message: &lettre::Message) -> Result<(), MailError> {
        if let Some(connection) = self.kept().await {
            match self.send_by(connection, message).await {
                // Not accepted, so that sending it again can't make two of it.
                Err(error) if error.status().is_some_and(|code| u16::from(code) == CLOSING) => {}
                sent => return sent.map_err(|error| mail_error(&error)),
            }
        }
        let connection = self.connect().await?;
        self.send_by(connection, message).await.map_err(|error| mail_error(&error))
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, email: OutgoingEmail) -> Result<(), MailError> {
        let message = compose(&self.from, email)?;
        let sending = tokio::time::timeout(self.connect_timeout + self.send_timeout, self.try_send(&message)).await;
        sending.unwrap_or_else(|_| Err(unavailable(SmtpFailure::TimedOut)))
    }
}

fn tls_parameters(server: &SmtpUrl) -> Result<TlsParameters, SmtpTlsError> {
    let mut parameters = TlsParameters::builder(server.host.clone());
    if let Some(authority) = &server.authority {
        let pem = std::fs::read(authority).map_err(SmtpTlsError::File)?;
        parameters = parameters.add_root_certificate(Certificate::from_pem(&pem).map_err(SmtpTlsError::Tls)?);
    }
    parameters.build().map_err(SmtpTlsError::Tls)
}

/// What became of an email that a server was given: a 5xx answer is for ever (RFC 5321 §4.2.1), and so is an address that the
/// server has no way to understand.
fn mail_error(error: &Error) -> MailError {
    if error.is_permanent() || error.is_client() {
        return MailError::Refused(failure(error).to_string());
    }
    unavailable(failure(error))
}

fn unavailable(failure: SmtpFailure) -> MailError {
    MailError::Unavailable(Box::new(failure))
}

fn failure(error: &Error) -> SmtpFailure {
    let source = std::error::Error::source(error);
    if let Some(code) = error.status() {
        let words = source.map(ToString::to_string).unwrap_or_default();
        return SmtpFailure::Answered(answer(&code.to_string(), &words));
    }
    let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    // The driver's own error can't be kept beside what is told.
    match io.map(|io| std::io::Error::new(io.kind(), io.to_string())) {
        Some(io) if error.is_tls() => SmtpFailure::Tls(io),
        Some(io) => SmtpFailure::Connection(io),
        None => SmtpFailure::Misunderstood,
    }
}

/// The code, with the enhanced one where the server told it (RFC 3463): `550 5.1.1`.
fn answer(code: &str, words: &str) -> String {
    let is_enhanced = |word: &&str| {
        let parts: Vec<_> = word.split('.').collect();
        parts.len() == 3 && parts.iter().all(|part| (1..=3).contains(&part.len()) && part.parse::<u16>().is_ok())
    };
    match words.split_whitespace().next().filter(is_enhanced) {
        Some(enhanced) => format!("{code} {enhanced}"),
        None => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_without_its_words() {
        assert_eq!(answer("550", "5.1.1 <ada@souk.test>: no such user"), "550 5.1.1");
        assert_eq!(answer("451", "try again, ada@souk.test"), "451");
        assert_eq!(answer("550", ""), "550");
    }
}
