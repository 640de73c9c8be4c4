//! From a notification to a mail server.

use std::sync::Arc;
use std::time::Duration;

use contracts::Timestamp;
use contracts::event_data::OrderStatus;
use contracts::ids::{NotificationId, UserId, UuidV7Generator};
use notification::adapters::mail::smtp::SmtpMailer;
use notification::adapters::persistence::sqlite::SqliteStore;
use notification::application::ports::{EmailQueue as _, MailError, Mailer as _, OutgoingEmail};
use notification::domain::contact::Contact;
use notification::domain::email_content::EmailContent;
use sqlite::SqliteUrl;
use tempfile::TempDir;
use uuid::Uuid;

use crate::builders::{history, new_order, new_user};
use crate::smtp_server::{Act, SmtpServer};
use crate::world::{World, eventually};

async fn world_with(server: &SmtpServer) -> World {
    World::start_with_mail(Arc::new(TempDir::new().unwrap()), &format!("smtp://{}", server.address)).await
}

impl World {
    /// Confirms an order of somebody who has an address.
    async fn tell(&self, address: &str) -> UserId {
        let user_id = new_user();
        self.users.knows(user_id, address, "Ada", 1);
        self.publish(&history(new_order(), user_id, &[OrderStatus::Pending, OrderStatus::Confirmed])).await;
        self.inbox_of(user_id, 4).await;
        user_id
    }

    /// No email waits any more, as time goes by.
    async fn no_email_waits(&self) {
        let url = SqliteUrl::of(self.folder.path().join("notification.db"));
        let store = SqliteStore::open(&url, Arc::new(UuidV7Generator)).unwrap();
        eventually("the end of the queue of emails", async || {
            self.clock.advance(Duration::from_secs(1));
            store.next_due().await.unwrap().is_none().then_some(())
        })
        .await;
    }
}

fn header(email: &str, name: &str) -> String {
    let start = format!("{name}: ");
    email.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{name} in {email}")).to_owned()
}

#[tokio::test]
async fn an_email_is_given_to_the_server_in_both_forms_and_the_connection_is_used_again() {
    let server = SmtpServer::start(&[]).await;
    let world = world_with(&server).await;
    for address in ["ada@souk.test", "linus@souk.test"] {
        world.tell(address).await;
        world.no_email_waits().await;
    }
    server.saw(|seen| {
        assert_eq!((seen.emails.len(), seen.attempts, seen.connections), (2, 2, 1));
        for part in [
            "From: Souk <no-reply@souk.test>",
            "To: Ada <ada@souk.test>",
            "Subject: Your order is confirmed",
            "Content-Type: multipart/alternative;",
            "Content-Type: text/plain; charset=utf-8",
            "2 x Mint Tea, $19.99 each: $39.98",
            "Content-Type: text/html; charset=utf-8",
            "<td>2 x Mint Tea</td><td>$19.99</td><td>$39.98</td>",
        ] {
            assert!(seen.emails[0].contains(part), "{part} in {}", seen.emails[0]);
        }
    });
}

#[tokio::test]
async fn an_email_that_is_refused_for_now_is_sent_later_as_the_same_email() {
    let server = SmtpServer::start(&[Act::Rcpt("451 4.3.0 later"), Act::Data("452 4.3.1 full"), Act::Accept]).await;
    let world = world_with(&server).await;
    let user_id = world.tell("ada@souk.test").await;
    world.no_email_waits().await;
    let inbox = world.inbox_of(user_id, 4).await;
    let notification: serde_json::Value = serde_json::from_str(&inbox[2].data_json).unwrap();
    server.saw(|seen| {
        assert_eq!((seen.emails.len(), seen.attempts), (1, 3));
        let expected = format!("<{}@souk.test>", notification["id"].as_str().unwrap());
        assert_eq!(header(&seen.emails[0], "Message-ID"), expected);
    });
}

#[tokio::test]
async fn an_email_that_is_refused_for_ever_is_given_up_and_holds_no_other_up() {
    for refusal in [Act::Rcpt("550 5.1.1 no such user"), Act::Data("554 5.6.0 no"), Act::Mail("553 5.1.8 not you")] {
        let server = SmtpServer::start(&[refusal]).await;
        let world = world_with(&server).await;
        world.tell("nobody@souk.test").await;
        world.no_email_waits().await;
        world.clock.advance(Duration::from_hours(2));
        world.tell("ada@souk.test").await;
        world.no_email_waits().await;
        server.saw(|seen| {
            assert_eq!((seen.emails.len(), seen.attempts), (1, 2), "{refusal:?}");
            assert!(seen.emails[0].contains("<ada@souk.test>"));
        });
    }
}

#[tokio::test]
async fn an_email_whose_connection_broke_in_the_middle_is_sent_by_another_one() {
    let server = SmtpServer::start(&[Act::DropInData]).await;
    let world = world_with(&server).await;
    world.tell("ada@souk.test").await;
    world.no_email_waits().await;
    server.saw(|seen| assert_eq!((seen.emails.len(), seen.attempts, seen.connections), (1, 2, 2)));
}

#[tokio::test]
async fn emails_wait_for_a_server_that_is_not_there() {
    let away = SmtpServer::start(&[]).await;
    let world = world_with(&away).await;
    let address = away.address.to_string();
    drop(away);
    let refused = async || tokio::net::TcpStream::connect(&address).await.is_err().then_some(());
    eventually("the server's end", refused).await;
    world.tell("ada@souk.test").await;
    world.clock.advance(Duration::from_secs(3));
    let back = SmtpServer::start_at(&address, &[]).await;
    world.no_email_waits().await;
    back.saw(|seen| assert_eq!((seen.emails.len(), seen.attempts), (1, 1)));
}

fn email(address: &str) -> OutgoingEmail {
    let user_id = UserId::from_uuid(Uuid::nil());
    OutgoingEmail {
        id: NotificationId::from_uuid(Uuid::from_u128(5)),
        to: Contact { user_id, email: address.to_owned(), name: "Ada".to_owned(), version: 1 },
        subject: "Subject".to_owned(),
        content: EmailContent { text: "Text.\n..\n.\nEnd.\n".to_owned(), html: None },
        created_at: Timestamp::from_unix_ms(0),
    }
}

fn mailer(url: &str) -> SmtpMailer {
    SmtpMailer::new(url.parse().unwrap(), "Souk <no-reply@souk.test>".parse().unwrap()).unwrap()
}

/// An error of a mailer, all of it, which must not tell the address.
fn told(error: &MailError) -> String {
    let chain = observability::logs::error_chain(error);
    assert!(!chain.contains("ada@souk.test"), "{chain}");
    chain
}

#[tokio::test]
async fn a_line_with_a_dot_is_not_the_end() {
    let server = SmtpServer::start(&[]).await;
    mailer(&format!("smtp://{}", server.address)).send(email("ada@souk.test")).await.unwrap();
    server.saw(|seen| assert!(seen.emails[0].contains("Text.\n..\n.\nEnd.\n"), "{}", seen.emails[0]));
}

#[tokio::test]
async fn what_the_server_says_is_told_without_the_address_that_it_quotes() {
    let quoting = "550 5.1.1 <ada@souk.test>: no such user";
    let server = SmtpServer::start(&[Act::Rcpt(quoting), Act::Rcpt("450 4.2.1 <ada@souk.test>: busy")]).await;
    let mailer = mailer(&format!("smtp://{}", server.address));
    let error = mailer.send(email("ada@souk.test")).await.unwrap_err();
    assert!(matches!(error, MailError::Refused(_)) && told(&error).contains("550 5.1.1"), "{error:?}");
    let error = mailer.send(email("ada@souk.test")).await.unwrap_err();
    assert!(matches!(error, MailError::Unavailable(_)) && told(&error).contains("450 4.2.1"), "{error:?}");
}

#[tokio::test]
async fn a_kept_connection_that_the_server_has_enough_of_costs_no_attempt() {
    let server = SmtpServer::start(&[]).await;
    let mailer = mailer(&format!("smtp://{}", server.address));
    mailer.send(email("ada@souk.test")).await.unwrap();
    server.then(Act::Mail("421 4.7.0 too many"));
    mailer.send(email("ada@souk.test")).await.unwrap();
    server.saw(|seen| assert_eq!((seen.emails.len(), seen.attempts, seen.connections), (2, 3, 2)));
    // A new one is no better: then it has to wait.
    server.then(Act::Mail("421 4.7.0 too many"));
    server.then(Act::Mail("421 4.7.0 too many"));
    let error = mailer.send(email("ada@souk.test")).await.unwrap_err();
    assert!(matches!(error, MailError::Unavailable(_)) && told(&error).contains("421"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_and_gets_no_second_email_on_that_connection() {
    let server = SmtpServer::start(&[Act::Hang]).await;
    let limit = Duration::from_millis(200);
    let mailer = mailer(&format!("smtp://{}", server.address)).with_timeouts(Duration::from_secs(5), limit);
    let began = std::time::Instant::now();
    let sending = tokio::time::timeout(Duration::from_secs(20), mailer.send(email("ada@souk.test"))).await;
    let error = sending.unwrap().unwrap_err();
    assert!(matches!(error, MailError::Unavailable(_)) && told(&error).contains("in time"), "{error:?}");
    assert!(began.elapsed() >= limit);
    mailer.send(email("ada@souk.test")).await.unwrap();
    server.saw(|seen| assert_eq!((seen.emails.len(), seen.connections), (1, 2)));
}

#[tokio::test]
async fn who_may_not_sign_in_keeps_the_emails() {
    let server = SmtpServer::start_with("127.0.0.1:0", &[], "535 5.7.8 wrong").await;
    let url = format!("smtp://souk:hunter2@{}?tls=none", server.address);
    let error = mailer(&url).send(email("ada@souk.test")).await.unwrap_err();
    assert!(matches!(error, MailError::Unavailable(_)), "a setting can be mended: {error:?}");
    assert!(told(&error).contains("535") && !told(&error).contains("hunter2"), "{error:?}");
    server.saw(|seen| assert_eq!((seen.credentials.len(), seen.attempts), (1, 0)));

    let server = SmtpServer::start(&[]).await;
    let url = format!("smtp://souk:hunter2@{}?tls=none", server.address);
    mailer(&url).send(email("ada@souk.test")).await.unwrap();
    // base64 of \0souk\0hunter2
    server.saw(|seen| assert_eq!(seen.credentials, ["AUTH PLAIN AHNvdWsAaHVudGVyMg=="]));
}

#[tokio::test]
async fn without_the_encryption_that_is_required_neither_credentials_nor_emails_are_sent() {
    let server = SmtpServer::start(&[]).await;
    for url in [format!("smtp://souk:hunter2@{}", server.address), format!("smtp://{}?tls=required", server.address)] {
        let error = mailer(&url).send(email("ada@souk.test")).await.unwrap_err();
        assert!(matches!(error, MailError::Unavailable(_)) && told(&error).contains("STARTTLS"), "{error:?}");
    }
    server.saw(|seen| assert_eq!((seen.credentials.len(), seen.attempts, seen.connections), (0, 0, 2)));
}
