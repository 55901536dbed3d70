//! What a mail is, and how it goes to the SMTP server.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use serde::{Deserialize, Serialize};
use swarrot::{BoxError, Permanent};

/// A mail as it waits in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// Sends mails over SMTP.
#[derive(Clone, Debug)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// Sends to the server that the URL names; connects with the first mail.
    ///
    /// # Errors
    /// If the URL or the sender's address is malformed.
    pub fn new(smtp_url: &str, from: &str) -> Result<Self, BoxError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp_url)
            .map_err(|_| "SMTP_URL is malformed; it looks like smtp://host:port or smtps://user:password@host")?
            .timeout(Some(Duration::from_secs(10)))
            .build();
        Ok(Self { transport, from: from.parse().map_err(|e| format!("MAIL_FROM: {e}"))? })
    }

    /// Sends a mail. `id` becomes its `Message-ID`: a mail that is sent twice, because a worker died between the SMTP
    /// server's answer and the broker's, has the same one, and mail programs show it once.
    ///
    /// # Errors
    /// What the SMTP server answered. A refusal for good (5xx) and an address that cannot be are [`Permanent`].
    pub async fn send(&self, id: &str, mail: &Mail) -> Result<(), BoxError> {
        let message = lettre::Message::builder()
            .from(self.from.clone())
            .to(mail.to.parse().map_err(|e| Permanent::new(format!("the address cannot be: {e}")))?)
            .subject(&mail.subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .body(mail.text.clone())
            .map_err(Permanent::new)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if SmtpError::is_permanent(&error) => Err(Permanent::new(error).into()),
            Err(error) => Err(error.into()),
        }
    }
}
