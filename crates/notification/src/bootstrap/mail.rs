//! Where emails go.

use std::sync::Arc;

use lettre::message::Mailbox;

use super::BootstrapError;
use crate::adapters::mail::file::FileMailer;
#[cfg(feature = "smtp")]
use crate::adapters::mail::smtp::SmtpMailer;
use crate::application::ports::Mailer;
use crate::settings::EmailUrl;

/// The mailer that the address picks. Asks no server: while it is away, emails wait.
#[cfg_attr(not(feature = "smtp"), expect(clippy::unnecessary_wraps, reason = "a mail server may be impossible to use"))]
pub(super) fn mailer(url: EmailUrl, from: Mailbox) -> Result<Arc<dyn Mailer>, BootstrapError> {
    match url {
        EmailUrl::Folder(folder) => {
            tracing::info!(mail = "file", path = %folder.display(), "emails are written to a folder");
            Ok(Arc::new(FileMailer::new(folder, from)))
        }
        #[cfg(feature = "smtp")]
        EmailUrl::Smtp(server) => {
            tracing::info!(mail = "smtp", host = server.host, port = server.port, tls = ?server.tls, "emails are sent by a mail server");
            Ok(Arc::new(SmtpMailer::new(server, from).map_err(BootstrapError::Mail)?))
        }
    }
}
