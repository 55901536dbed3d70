//! Takes requests, publishes mails, answers.

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use lettre::Address;
use serde::Deserialize;
use serde_json::json;
use swarrot::{Broker, Error, Message, MessagePublisher, MessagePublisherExt, Outgoing, PublisherOptions};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::mail::Mail;
use crate::queues::Queues;

/// How long a request waits for the broker.
const BROKER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the requests in hand may take once the server was told to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// Each address gets a copy of the text: together they stay below 30 MB.
const MAX_BODY: usize = 256 << 10;
const MAX_ADDRESSES: usize = 100;

/// What the handlers of requests share.
#[derive(Debug)]
pub struct App {
    publisher: Arc<dyn MessagePublisher>,
    queues: Queues,
    site_url: String,
}

impl App {
    /// Publishes to these queues; links in mails lead to `site_url`.
    ///
    /// # Errors
    /// As [`Broker::publisher`].
    pub async fn new(broker: &dyn Broker, queues: Queues, site_url: String) -> Result<Self, Error> {
        let publisher = broker.publisher("", PublisherOptions::default().timeout(BROKER_TIMEOUT)).await?;
        Ok(Self { publisher, queues, site_url })
    }
}

/// Serves requests until `stop` is ready; requests in hand are answered.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: App,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/password-resets", post(reset))
        .route("/newsletters", post(newsletter))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(app));
    let (stopping, stopped) = oneshot::channel();
    let stop = async move {
        stop.await;
        let _ = stopping.send(());
    };
    let overdue = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(STOP_DEADLINE).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(stop).into_future() => served,
        // Whoever holds a connection open and says nothing does not keep the process alive.
        () = overdue => Ok(()),
    }
}

/// A body as JSON, or why it is not.
type Body<T> = Result<Json<T>, JsonRejection>;

#[derive(Deserialize)]
struct ResetRequest {
    email: String,
}

/// Answers as soon as the broker has the mail.
///
/// A real site looks the account up, keeps a hash of the token beside it, and answers the same if there is no account.
async fn reset(State(app): State<Arc<App>>, body: Body<ResetRequest>) -> Response {
    let to = match body.map(|Json(request)| address(&request.email)) {
        Ok(Ok(to)) => to,
        Ok(Err(problem)) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, &problem),
        Err(rejection) => return refuse(rejection.status(), &rejection.body_text()),
    };
    // Whoever has the token may set a new password: it goes into the mail and nowhere else.
    let token = Uuid::new_v4();
    let text = format!("Set a new password here:\n\n{}/password-resets/{token}\n", app.site_url);
    let mail = Mail { to, subject: "Your new password".to_owned(), text };
    let published = match outgoing(&app.queues.resets, &mail) {
        Ok(outgoing) => app.publisher.publish_one(outgoing).await,
        Err(error) => Err(error),
    };
    match published {
        Ok(()) => (StatusCode::ACCEPTED, Json(json!({ "status": "the mail is on its way" }))).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, not_taken(&error)),
    }
}

#[derive(Deserialize)]
struct NewsletterRequest {
    emails: Vec<String>,
    subject: String,
    text: String,
}

/// Publishes all in one batch, and names those that cannot be sent.
async fn newsletter(State(app): State<Arc<App>>, body: Body<NewsletterRequest>) -> Response {
    let NewsletterRequest { emails, subject, text } = match body {
        Ok(Json(request)) => request,
        Err(rejection) => return refuse(rejection.status(), &rejection.body_text()),
    };
    if !(1..=MAX_ADDRESSES).contains(&emails.len()) {
        let problem = format!("a request is for 1 to {MAX_ADDRESSES} addresses, not for {}", emails.len());
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, &problem);
    }
    let (mut batch, mut outgoing_to, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for email in emails {
        let mail = |to| Mail { to, subject: subject.clone(), text: text.clone() };
        let made = address(&email)
            .and_then(|to| outgoing(&app.queues.newsletters, &mail(to)).map_err(|error| error.to_string()));
        match made {
            Ok(outgoing) => {
                batch.push(outgoing);
                outgoing_to.push(email);
            }
            Err(reason) => refused.push(json!({ "email": email, "reason": reason })),
        }
    }
    let mut accepted = 0;
    let results = if batch.is_empty() { Vec::new() } else { app.publisher.publish(&batch).await };
    for (email, result) in outgoing_to.into_iter().zip(results) {
        match result {
            Ok(()) => accepted += 1,
            Err(error) => refused.push(json!({ "email": email, "reason": not_taken(&error) })),
        }
    }
    let status = match (accepted, refused.len()) {
        (_, 0) => StatusCode::ACCEPTED,
        (0, _) if batch.is_empty() => StatusCode::UNPROCESSABLE_ENTITY,
        (0, _) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::MULTI_STATUS,
    };
    (status, Json(json!({ "accepted": accepted, "refused": refused }))).into_response()
}

fn outgoing(queue: &str, mail: &Mail) -> Result<Outgoing, Error> {
    Ok(Outgoing::new(queue, Message::json(mail)?.message_type("mail")))
}

fn address(email: &str) -> Result<String, String> {
    let parsed: Result<Address, _> = email.trim().parse();
    parsed.map(|address| address.to_string()).map_err(|error| format!("not a mail address: {error}"))
}

/// The broker did not take the mail: nothing was promised, and the client may try again.
fn not_taken(error: &Error) -> &'static str {
    tracing::error!(?error, "a mail was not published");
    "the mail cannot be taken at the moment; try again later"
}

fn refuse(status: StatusCode, problem: &str) -> Response {
    (status, Json(json!({ "error": problem }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["ada@example.org", " ada@example.org ", "a.b+c@sub.example.org", "o'hara@example.org"] {
            assert_eq!(address(good).as_deref(), Ok(good.trim()));
        }
        for bad in ["", "ada", "@example.org", "ada@", "a b@example.org", "ada@example.org, eve@example.org"] {
            assert!(address(bad).is_err_and(|problem| problem.starts_with("not a mail address")), "{bad}");
        }
        assert!(address("ada@example.org\r\nBcc: eve@example.org").is_err());
        assert!(address("Ada <ada@example.org>").is_err());
    }
}
