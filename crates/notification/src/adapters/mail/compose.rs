//! From an email to the message that is sent (RFC 5322), the same bytes each time.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};

use crate::application::ports::{MailError, OutgoingEmail};

/// The message from this sender. Its `Message-ID` is that of the notification, so that a receiver knows a second one.
pub(super) fn compose(from: &Mailbox, email: OutgoingEmail) -> Result<Message, MailError> {
    let refused = |error: &dyn std::fmt::Display| MailError::Refused(error.to_string());
    let address = email.to.email.parse().map_err(|error: lettre::address::AddressError| refused(&error))?;
    let name = Some(email.to.name).filter(|name| !name.trim().is_empty() && !name.chars().any(char::is_control));
    let date = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(email.created_at.unix_ms()).unwrap_or(0));
    let message = Message::builder()
        .message_id(Some(format!("<{}@{}>", email.id, from.email.domain())))
        .date(date)
        .from(from.clone())
        .to(Mailbox::new(name, address))
        .subject(email.subject);
    let message = match email.content.html {
        // The last part is the best one (RFC 2046 §5.1.4).
        Some(html) => message.multipart(
            MultiPart::alternative()
                .boundary(format!("souk-{}", email.id.as_uuid().simple()))
                .singlepart(SinglePart::plain(email.content.text))
                .singlepart(SinglePart::html(html)),
        ),
        None => message.header(ContentType::TEXT_PLAIN).body(email.content.text),
    };
    let mut message = message.map_err(|error| refused(&error))?;
    // Keeps vacation replies away (RFC 3834 §5).
    message
        .headers_mut()
        .insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    Ok(message)
}

#[cfg(test)]
mod tests {
    use contracts::Timestamp;
    use contracts::ids::{NotificationId, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::domain::contact::Contact;
    use crate::domain::email_content::EmailContent;

    fn sent(subject: &str, name: &str, html: Option<&str>) -> String {
        let to = Contact {
            user_id: UserId::from_uuid(Uuid::nil()),
            email: "ada@souk.test".to_owned(),
            name: name.to_owned(),
            version: 1,
        };
        let email = OutgoingEmail {
            id: NotificationId::from_uuid(Uuid::from_u128(5)),
            to,
            subject: subject.to_owned(),
            content: EmailContent { text: "Text.\n".to_owned(), html: html.map(str::to_owned) },
            created_at: Timestamp::from_unix_ms(0),
        };
        let message = compose(&"Souk <no-reply@souk.test>".parse().unwrap(), email).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    fn headers(message: &str) -> Vec<&str> {
        message.split_once("\r\n\r\n").unwrap().0.split("\r\n").collect()
    }

    #[test]
    fn both_forms_are_alternatives_the_text_first_and_sending_again_sends_the_same() {
        let message = sent("Subject", "Ada", Some("<p>Text.</p>"));
        assert_eq!(message, sent("Subject", "Ada", Some("<p>Text.</p>")));
        assert!(message.contains("Content-Type: multipart/alternative;"), "{message}");
        let place = |part: &str| message.find(part).unwrap_or_else(|| panic!("{part} in {message}"));
        assert!(place("text/plain") < place("\r\nText.\r\n") && place("\r\nText.\r\n") < place("text/html"));
        assert!(place("text/html") < place("<p>Text.</p>"));
    }

    #[test]
    fn an_email_of_an_earlier_build_is_a_text_alone() {
        let message = sent("Subject", "Ada", None);
        assert!(message.contains("Content-Type: text/plain; charset=utf-8") && !message.contains("multipart"));
    }

    #[test]
    fn neither_a_subject_nor_a_name_adds_a_header() {
        let plain = sent("Subject", "Ada", None);
        let evil = sent("Subject\r\nBcc: all@souk.test", "Ada\r\nBcc: all@souk.test", None);
        let names = |message: &str| {
            let headers = headers(message).into_iter().filter(|line| !line.starts_with([' ', '\t']));
            headers.map(|line| line.split_once(':').unwrap().0.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&plain), names(&evil), "{evil}");
    }
}
