//! Takes requests, publishes mails, answers.

use std::future::Future;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use lettre::Address;
use serde::Deserialize;
use serde_json::json;
use swarrot::{Error, Message, MessagePublisher, MessagePublisherExt, Outgoing};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::mail::Mail;
use crate::queues::Queues;

/// What the handlers of requests share.
#[derive(Debug)]
pub struct App {
    /// Puts mails into their queues.
    pub publisher: Arc<dyn MessagePublisher>,
    /// The queues' names.
    pub queues: Queues,
    /// Where the links in the mails lead.
    pub site_url: String,
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
        .with_state(Arc::new(app));
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

#[derive(Deserialize)]
struct ResetRequest {
    email: String,
}

/// Answers as soon as the broker has the mail.
async fn reset(State(app): State<Arc<App>>, Json(request): Json<ResetRequest>) -> Response {
    let to = match address(&request.email) {
        Ok(to) => to,
        Err(problem) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, &problem),
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
        Err(error) => not_taken(&error),
    }
}

#[derive(Deserialize)]
struct NewsletterRequest {
    emails: Vec<String>,
    subject: String,
    text: String,
}

/// Publishes all in one batch, and names those that cannot be sent.
async fn newsletter(State(app): State<Arc<App>>, Json(request): Json<NewsletterRequest>) -> Response {
    let (mut batch, mut accepted, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for email in request.emails {
        let mail = |to| Mail { to, subject: request.subject.clone(), text: request.text.clone() };
        let made = address(&email)
            .and_then(|to| outgoing(&app.queues.newsletters, &mail(to)).map_err(|error| error.to_string()));
        match made {
            Ok(outgoing) => {
                batch.push(outgoing);
                accepted.push(email);
            }
            Err(reason) => refused.push(json!({ "email": email, "reason": reason })),
        }
    }
    let mut taken = 0;
    for (email, result) in accepted.into_iter().zip(app.publisher.publish(&batch).await) {
        match result {
            Ok(()) => taken += 1,
            Err(error) => refused.push(json!({ "email": email, "reason": error.to_string() })),
        }
    }
    let status = match (taken, refused.len()) {
        (_, 0) => StatusCode::ACCEPTED,
        (0, _) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::MULTI_STATUS,
    };
    (status, Json(json!({ "accepted": taken, "refused": refused }))).into_response()
}

fn outgoing(queue: &str, mail: &Mail) -> Result<Outgoing, Error> {
    Ok(Outgoing::new(queue, Message::json(mail)?.message_type("mail")))
}

fn address(email: &str) -> Result<String, String> {
    let parsed: Result<Address, _> = email.trim().parse();
    parsed.map(|address| address.to_string()).map_err(|error| format!("not a mail address: {error}"))
}

/// The broker did not take the mail: nothing was promised, and the client may try again.
fn not_taken(error: &Error) -> Response {
    tracing::error!(%error, "a mail was not published");
    if error.is_temporary() {
        refuse(StatusCode::SERVICE_UNAVAILABLE, "the mail cannot be taken at the moment; try again later")
    } else {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "the mail cannot be taken")
    }
}

fn refuse(status: StatusCode, problem: &str) -> Response {
    (status, Json(json!({ "error": problem }))).into_response()
}
