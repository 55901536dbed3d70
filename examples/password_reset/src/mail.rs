//! What a mail is, and how it goes to the SMTP server.

use std::fmt;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::response::Category;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde::{Deserialize, Serialize};
use swarrot::{BoxError, Permanent};

/// A mail as it waits in a queue. The text may hold a token, so `Debug` shows no more than the subject.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Sends mails over SMTP, each over a connection of its own.
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
            .build();
        Ok(Self { transport, from: from.parse().map_err(|e| format!("MAIL_FROM: {e}"))? })
    }

    /// Sends a mail. `id` becomes its `Message-ID`: a mail that is sent twice, because a worker died between the SMTP
    /// server's answer and the broker's, has the same one, by which its receiver can tell.
    ///
    /// # Errors
    /// What the SMTP server answered, in its words. [`Permanent`] is what no further try would mend: a mail that the server
    /// refuses for good, or that cannot be written.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection: the server has the mail, or not.
    pub async fn send(&self, id: &str, mail: &Mail) -> Result<(), BoxError> {
        let message = self.write(id, mail).map_err(Permanent::new)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if is_about_the_mail(&error) => Err(Permanent::new(Refused(error)).into()),
            Err(error) if error.status().is_some() => Err(Refused(error).into()),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&self, id: &str, mail: &Mail) -> Result<Message, BoxError> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(mail.to.parse().map_err(|e| format!("the address cannot be: {e}"))?)
            .subject(&mail.subject)
            .header(ContentType::TEXT_PLAIN);
        // Whoever else publishes to the queue may have set any id, or none.
        let fits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        let message_id = fits.then(|| format!("<{id}@{}>", self.from.email.domain()));
        Ok(message.message_id(message_id).body(mail.text.clone())?)
    }
}

/// Whether a refusal for good (5xx) is about this mail. By its second digit, 5, it is about the mailbox or the mail; any
/// other is about the connection, the command or the credentials, that is about us: once that is put right, the mail can go.
fn is_about_the_mail(error: &SmtpError) -> bool {
    error.is_permanent() && error.status().is_some_and(|code| code.category == Category::MailSystem)
}

/// What the SMTP server answered.
#[derive(Debug)]
struct Refused(SmtpError);

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mail server answered")?;
        if let Some(code) = self.0.status() {
            write!(f, " {code}")?;
        }
        std::error::Error::source(&self.0).map_or(Ok(()), |text| write!(f, " {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(id: &str, subject: &str, text: &str) -> String {
        let mailer = Mailer::new("smtp://127.0.0.1", "Accounts <accounts@example.org>").expect("well-formed");
        let mail = Mail { to: "ada@example.org".to_owned(), subject: subject.to_owned(), text: text.to_owned() };
        assert!(!format!("{mail:?}").contains(text), "{mail:?}");
        String::from_utf8(mailer.write(id, &mail).expect("it can be written").formatted()).expect("ASCII")
    }

    #[tokio::test]
    async fn the_messages_id_is_the_mails() {
        let mail = written("0191-a", "Hello", "text");
        assert!(mail.contains("Message-ID: <0191-a@example.org>\r\n"), "{mail}");
        for odd in ["", "a b", "a>\r\nBcc: eve@example.org\r\n", "ä"] {
            let mail = written(odd, "Hello", "text");
            assert!(mail.contains("Message-ID: <") && !mail.contains("Bcc"), "{mail}");
        }
    }

    #[tokio::test]
    async fn a_subject_adds_no_header() {
        let mail = written("id", "Hello\r\nBcc: eve@example.org\r\n\r\nmore", "text");
        assert!(!mail.lines().any(|line| line.starts_with("Bcc")), "{mail}");
    }

    #[tokio::test]
    async fn other_alphabets_are_announced() {
        let mail = written("id", "Grüße", "Grüße, 世界");
        assert!(mail.is_ascii() && mail.contains("charset=utf-8"), "{mail}");
    }

    #[test]
    fn a_malformed_url_is_not_repeated() {
        let error = Mailer::new("smtp//guest:hunter2@host", "a@example.org").expect_err("no scheme").to_string();
        assert!(error.starts_with("SMTP_URL") && !error.contains("hunter2"), "{error}");
    }
}
