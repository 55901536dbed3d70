//! TLS and sockets.

mod support;

use std::fs;
use std::net::TcpListener;

use support::{body, connect, declare, one, provider, send, server, server_with, settle};
use swarrot_core::topology::Queue;
use swarrot_core::{ErrorKind, Outcome};
use swarrot_redis::RedisBroker;

async fn works(url: &str) {
    let broker = connect(url).await;
    declare(&broker, Queue::new("q")).await;
    send(&broker, "q", "hello").await.expect("publishes");
    let provider = provider(&broker, "q", 1).await;
    let delivery = one(&*provider).await;
    assert_eq!(body(&delivery), "hello");
    settle(&*provider, &delivery, Outcome::Ack).await.expect("acks");
    provider.close().await.expect("closes");
}

#[tokio::test]
async fn a_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("redis.sock");
    let _server = server_with(&[&format!("unixsocket {}", socket.display())]);
    works(&format!("redis+unix://{}?db=3", socket.display())).await;
    let missing = format!("redis+unix://{}/missing.sock", folder.path().display()).parse().expect("a URL");
    let error = RedisBroker::connect(&missing).await.expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
}

#[tokio::test]
async fn tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&cert_file, cert.pem()).expect("writes");
    fs::write(&key_file, signing_key.serialize_pem()).expect("writes");
    // Freed for the server to take.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let _server = server_with(&[
        &format!("tls-port {port}"),
        &format!("tls-cert-file {}", cert_file.display()),
        &format!("tls-key-file {}", key_file.display()),
        &format!("tls-ca-cert-file {}", cert_file.display()),
        "tls-auth-clients optional",
    ]);
    let (authority, key) = (cert_file.display(), key_file.display());
    works(&format!("rediss://localhost:{port}/0?cacert={authority}")).await;
    works(&format!("rediss://127.0.0.1:{port}/0?cacert={authority}&client_cert={authority}&client_key={key}")).await;
    // An authority that nobody knows is not trusted.
    let unknown = format!("rediss://localhost:{port}/0").parse().expect("a URL");
    let error = RedisBroker::connect(&unknown).await.expect_err("not trusted");
    assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
}

#[tokio::test]
async fn nobody_there() {
    let server = server();
    let url = server.url();
    drop(server);
    let error = RedisBroker::connect(&url.parse().expect("a URL")).await.expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
    assert!(error.is_temporary());
}
