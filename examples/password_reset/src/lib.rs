//! A password reset as it should be: the web request is answered at once, and a worker sends the mail.
//!
//! - [`http`]: takes requests, publishes mails, answers.
//! - [`worker`]: sends the mails that wait, resets before newsletters, and tries again later and later.
//! - [`mail`]: what a mail is, and how it goes to the SMTP server.
//! - [`queues`]: where mails wait.
//! - [`config`]: what the environment says.

pub mod config;
pub mod http;
pub mod mail;
pub mod queues;
pub mod worker;
