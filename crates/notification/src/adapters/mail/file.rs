//! Emails as `.eml` files in a folder: what a developer opens instead of a mailbox.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use lettre::message::{Mailbox, Message};
use lettre::{FileTransport, Transport as _};

use super::compose::compose;
use crate::application::ports::{MailError, Mailer, OutgoingEmail};

/// Where files are written before they get their name, so that nobody reads half an email.
const PARTIAL: &str = ".partial";

/// Writes each email as `<folder>/<notification id>.eml`; the same email again replaces its file.
#[derive(Clone, Debug)]
pub struct FileMailer {
    folder: PathBuf,
    from: Mailbox,
}

impl FileMailer {
    /// A mailer that writes into this folder, made when first needed.
    pub fn new(folder: PathBuf, from: Mailbox) -> Self {
        Self { folder, from }
    }
}

#[async_trait]
impl Mailer for FileMailer {
    async fn send(&self, email: OutgoingEmail) -> Result<(), MailError> {
        let name = format!("{}.eml", email.id);
        let message = compose(&self.from, email)?;
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || write(&folder, &name, &message))
            .await
            .map_err(|error| MailError::Unavailable(Box::new(error)))?
    }
}

fn write(folder: &Path, name: &str, message: &Message) -> Result<(), MailError> {
    let unavailable = |error: std::io::Error| MailError::Unavailable(Box::new(error));
    let partial = folder.join(PARTIAL);
    std::fs::create_dir_all(&partial).map_err(unavailable)?;
    let id = FileTransport::new(&partial).send(message).map_err(|error| MailError::Unavailable(Box::new(error)))?;
    std::fs::rename(partial.join(format!("{id}.eml")), folder.join(name)).map_err(unavailable)
}

#[cfg(test)]
mod tests {
    use contracts::Timestamp;
    use contracts::ids::{NotificationId, UserId};
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;
    use crate::domain::contact::Contact;
    use crate::domain::email_content::EmailContent;

    fn email(address: &str, name: &str) -> OutgoingEmail {
        let user_id = UserId::from_uuid(Uuid::nil());
        OutgoingEmail {
            id: NotificationId::from_uuid(Uuid::from_u128(5)),
            to: Contact { user_id, email: address.to_owned(), name: name.to_owned(), version: 1 },
            subject: "Your order is confirmed".to_owned(),
            content: EmailContent {
                text: "Hello Ada,\n\nThank you!\n".to_owned(),
                html: Some("<p>Hello Ada,</p>\n<p>Thank you!</p>\n".to_owned()),
            },
            created_at: Timestamp::from_unix_ms(0),
        }
    }

    fn mailer(folder: &TempDir) -> FileMailer {
        FileMailer::new(folder.path().join("mail"), "Souk <no-reply@souk.test>".parse().unwrap())
    }

    fn emails(folder: &TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(folder.path().join("mail")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    #[tokio::test]
    async fn an_email_sent_twice_is_one_file_with_one_message_id() {
        let folder = TempDir::new().unwrap();
        for _ in 0..2 {
            mailer(&folder).send(email("ada@souk.test", "Ada Lovelace")).await.unwrap();
        }
        let [text] = emails(&folder).try_into().unwrap();
        for part in [
            "Message-ID: <00000000-0000-0000-0000-000000000005@souk.test>",
            "Date: Thu, 01 Jan 1970 00:00:00",
            "From: Souk <no-reply@souk.test>",
            "To: \"Ada Lovelace\" <ada@souk.test>",
            "Subject: Your order is confirmed",
            "Content-Type: multipart/alternative;",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Type: text/html; charset=utf-8",
            "Auto-Submitted: auto-generated",
            "<p>Thank you!</p>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[tokio::test]
    async fn an_impossible_address_is_refused_for_ever_without_being_told() {
        let folder = TempDir::new().unwrap();
        let error = mailer(&folder).send(email("secret at nowhere", "Ada")).await.unwrap_err();
        assert!(matches!(error, MailError::Refused(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[tokio::test]
    async fn a_name_can_not_add_headers() {
        let folder = TempDir::new().unwrap();
        mailer(&folder).send(email("ada@souk.test", "Ada\r\nBcc: all@souk.test")).await.unwrap();
        assert!(!emails(&folder)[0].contains("Bcc"));
    }

    #[tokio::test]
    async fn a_folder_that_can_not_be_written_is_tried_again_later() {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("mail"), "a file").unwrap();
        let error = mailer(&folder).send(email("ada@souk.test", "Ada")).await.unwrap_err();
        assert!(matches!(error, MailError::Unavailable(_)), "{error:?}");
    }
}
