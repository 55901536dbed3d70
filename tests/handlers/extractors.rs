//! The arguments of handlers, each with what it makes of messages that fit and of those that do not.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{Bench, Seen};
use serde::Deserialize;
use swarrot::message::names;
use swarrot::prelude::*;
use swarrot::{Context, FromContext, FromDelivery, Handler, HeaderName, Headers, IntoHandler, Receipt, Value};

fn delivery(message: Message) -> Delivery {
    Delivery::new("mails", Receipt::new(0, 7), message).routed("events", "user.reset")
}

fn make<T: FromDelivery>(message: Message) -> Result<T, BoxError> {
    T::from_delivery(&delivery(message), &Context::new())
}

/// The error in words, which is one that no retry would mend.
#[track_caller]
fn permanent<T: FromDelivery>(message: Message) -> String {
    let Err(error) = make::<T>(message) else { panic!("it does not fit, and yet it is made") };
    assert!(Permanent::is(&*error), "{error} is not permanent");
    Reason::from_error(&*error).to_string()
}

#[derive(Debug, Deserialize, PartialEq)]
struct Reset {
    address: String,
}

#[test]
fn json_is_decoded_or_permanently_wrong() {
    let Json(reset) = make::<Json<Reset>>(Message::new(r#"{"address":"ada"}"#)).unwrap();
    assert_eq!(reset.address, "ada");
    let error = permanent::<Json<Reset>>(Message::new(r#"{"address":7}"#));
    assert!(error.contains("is not the JSON of a ") && error.contains("Reset: invalid type: integer `7`"), "{error}");
}

#[test]
fn an_optional_body_is_absent_only_if_it_is_empty() {
    assert!(make::<Option<Json<Reset>>>(Message::new("")).unwrap().is_none());
    assert!(make::<Option<Json<Reset>>>(Message::new(r#"{"address":"ada"}"#)).unwrap().is_some());
    let error = permanent::<Option<Json<Reset>>>(Message::new("{"));
    assert!(error.contains("is not the JSON"), "what is there and does not decode is not absent: {error}");
}

#[test]
fn a_result_shows_what_is_wrong() {
    let shown = make::<Result<Json<Reset>, BoxError>>(Message::new("{")).unwrap();
    assert!(Permanent::is(&*shown.unwrap_err()), "passed on with `?` it still parks the message");
    assert!(make::<Result<String, BoxError>>(Message::new("text")).unwrap().is_ok());
}

#[test]
fn bodies_as_they_are() {
    assert_eq!(
        make::<swarrot::Message>(Message::new("b").id("1")).unwrap().properties.message_id.as_deref(),
        Some("1")
    );
    assert_eq!(make::<String>(Message::new("é")).unwrap(), "é");
    assert!(permanent::<String>(Message::new(vec![0xff])).starts_with("the body is not UTF-8 text: "));
    let raw = make::<bytes::Bytes>(Message::new(vec![0xff, 0])).unwrap();
    assert_eq!(raw, [0xff, 0][..]);
}

#[test]
fn the_delivery_and_what_is_known_of_it() {
    let message = Message::new("b").header("a", 1_i64);
    let whole = make::<Delivery>(message.clone()).unwrap();
    assert_eq!((whole.queue(), whole.routing_key(), whole.receipt()), ("mails", "user.reset", Receipt::new(0, 7)));
    assert_eq!(make::<Headers>(message.clone()).unwrap().get("a"), Some(&Value::Int(1)));
    assert_eq!(make::<Attempt>(message.clone()).unwrap(), Attempt(1));
    assert_eq!(make::<Attempt>(message.header(names::RETRY_ATTEMPTS, 2_i64)).unwrap(), Attempt(3));
    let (text, Attempt(attempt)) = make::<(String, Attempt)>(Message::new("both")).unwrap();
    assert_eq!((text.as_str(), attempt), ("both", 1));
}

macro_rules! header {
    ($name:ident, $type:ty) => {
        #[derive(Debug)]
        struct $name;
        impl HeaderName for $name {
            const NAME: &'static str = stringify!($name);
            type Value = $type;
        }
    };
}
header!(Tenant, String);
header!(Size, u32);
header!(Delta, i32);
header!(Total, u64);
header!(Offset, i64);
header!(Ratio, f64);
header!(Urgent, bool);
header!(Token, bytes::Bytes);
header!(Since, SystemTime);
header!(Anything, Value);

#[test]
fn a_header_of_each_type() {
    fn read<N: HeaderName>(value: impl Into<Value>) -> N::Value {
        make::<Header<N>>(Message::new("").header(N::NAME, value)).unwrap().0
    }
    assert_eq!(read::<Tenant>("acme"), "acme");
    assert_eq!(read::<Size>(7_i64), 7);
    assert_eq!(read::<Delta>(-7_i64), -7);
    assert_eq!(read::<Total>(i64::MAX), i64::MAX.unsigned_abs());
    assert_eq!(read::<Offset>(i64::MIN), i64::MIN);
    assert!((read::<Ratio>(0.5) - 0.5).abs() < f64::EPSILON);
    assert!(read::<Urgent>(true));
    assert_eq!(read::<Token>(bytes::Bytes::from_static(b"\0")), b"\0"[..]);
    assert_eq!(read::<Since>(Value::Timestamp(60)), UNIX_EPOCH + Duration::from_secs(60));
    assert_eq!(read::<Anything>(Value::Null), Value::Null);
}

#[test]
fn a_header_that_is_missing_or_of_another_type() {
    assert_eq!(permanent::<Header<Tenant>>(Message::new("")), "header \"Tenant\" is missing");
    assert!(make::<Option<Header<Tenant>>>(Message::new("")).unwrap().is_none());
    let wrong = Message::new("").header("Tenant", 7_i64);
    assert_eq!(permanent::<Header<Tenant>>(wrong.clone()), "header \"Tenant\" is not a alloc::string::String");
    assert_eq!(permanent::<Option<Header<Tenant>>>(wrong), "header \"Tenant\" is not a alloc::string::String");
    assert_eq!(permanent::<Header<Size>>(Message::new("").header("Size", -1_i64)), "header \"Size\" is not a u32");
}

#[test]
fn an_extension_comes_from_a_layer() {
    let mut extended = delivery(Message::new(""));
    extended.insert_extension(7_u8);
    let context = Context::new();
    assert_eq!(*Extension::<u8>::from_delivery(&extended, &context).unwrap(), 7);
    assert!(Option::<Extension<u8>>::from_delivery(&extended, &context).unwrap().is_some());
    assert!(Option::<Extension<u16>>::from_delivery(&extended, &context).unwrap().is_none());
    let missing = Extension::<u16>::from_delivery(&extended, &context).unwrap_err();
    assert_eq!(missing.to_string(), "no layer has added an Extension<u16>");
    assert!(!Permanent::is(&*missing), "the message is not at fault");
}

#[test]
fn state_is_shared_and_may_be_absent() {
    let context = Context::new().with_state("mailer").with_state(7_u8);
    assert_eq!(*State::<&str>::from_context(&context).unwrap(), "mailer");
    let one = State::<u8>::from_delivery(&delivery(Message::new("")), &context).unwrap();
    assert!(Arc::ptr_eq(&one.0, &one.clone().0));
    assert!(Option::<State<u16>>::from_delivery(&delivery(Message::new("")), &context).unwrap().is_none());
    let error = State::<u16>::check(&context).unwrap_err();
    assert!(error.to_string().starts_with("a handler asks for State<u16>, but the worker has none; add .state(…)"));
    Option::<State<u16>>::check(&context).expect("nothing is needed");
    <(String, State<u8>)>::check(&context).expect("it is there");
    assert!(<(String, State<u16>)>::check(&context).is_err(), "a part of a tuple is checked");
    assert!(
        Result::<State<u16>, BoxError>::check(&context).is_err(),
        "what the worker lacks is no matter of the message"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_state_does_not_start() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let error = bench.worker().await.run(async |State(_): State<u16>| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "the worker did not start");
    let source = error.source().expect("it says why").to_string();
    assert!(source.contains("a handler asks for State<u16>"), "{source}");
    assert_eq!(bench.left().await, (1, 0), "nothing was received");
}

#[tokio::test(start_paused = true)]
async fn eight_arguments_at_once() {
    #[expect(clippy::too_many_arguments, reason = "it is the most that there may be")]
    async fn all(
        Json(number): Json<u8>,
        text: String,
        raw: bytes::Bytes,
        delivery: Delivery,
        Attempt(attempt): Attempt,
        State(seen): State<Seen>,
        headers: Headers,
        worker: WorkerHandle,
    ) {
        assert_eq!((text.as_bytes(), raw.len(), attempt), (&raw[..], 1, 1));
        assert_eq!((delivery.queue(), headers.len()), ("work", 0));
        seen.note(number.to_string());
        worker.stop();
    }
    let bench = Bench::new().await;
    bench.fill(1).await;
    let report = bench.worker().await.run(all).await.unwrap();
    assert_eq!((report.counts.acked, bench.seen.all()), (1, vec!["0".to_owned()]));
}

#[tokio::test]
async fn a_function_is_a_handler_without_a_worker() {
    let handler = (async |text: String| Outcome::reject(text)).into_handler(&Context::new()).unwrap();
    assert_eq!(handler.handle(delivery(Message::new("no"))).await.unwrap(), Outcome::reject("no"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_fit_runs_no_user_code() {
    let bench = Bench::new().await;
    bench.fill(1).await;
    let handler = async |State(seen): State<Seen>, _: Json<Reset>| seen.note("ran");
    let report = bench.worker().await.stop_when_empty().run(handler).await.unwrap();
    assert_eq!((report.counts.rejected, bench.seen.len()), (1, 0));
}
