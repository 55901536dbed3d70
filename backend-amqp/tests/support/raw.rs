//! A publisher that speaks AMQP 0-9-1 by hand, to send what no client library would.

use std::io::{Read, Write};
use std::net::TcpStream;

use swarrot_core::BrokerUrl;

/// Publishes frames as they are given, over a connection of its own. Everything blocks.
pub struct RawPublisher(TcpStream);

impl RawPublisher {
    pub fn connect(url: &str) -> Self {
        let url: BrokerUrl = url.parse().expect("a URL");
        let (host, port) = url.hosts.first().cloned().expect("a host");
        let mut stream = TcpStream::connect((host, port.unwrap_or(5672))).expect("the server answers");
        stream.write_all(b"AMQP\x00\x00\x09\x01").expect("writes");
        let mut raw = Self(stream);
        raw.expect(10, 10);
        let user = url.username.as_deref().unwrap_or("guest");
        let password = url.password.as_ref().map_or("guest", |password| password.expose());
        let response = format!("\0{user}\0{password}");
        raw.method(0, 10, 11, &[&long(b"")[..], &short(b"PLAIN"), &long(response.as_bytes()), &short(b"en_US")]);
        raw.expect(10, 30);
        raw.method(0, 10, 31, &[&[0, 1][..], &[0, 2, 0, 0], &[0, 0]]);
        let vhost = url.path.as_deref().filter(|vhost| !vhost.is_empty()).unwrap_or("/");
        raw.method(0, 10, 40, &[&short(vhost.as_bytes())[..], &short(b""), &[0]]);
        raw.expect(10, 41);
        raw.method(1, 20, 10, &[&short(b"")]);
        raw.expect(20, 11);
        raw.method(1, 85, 10, &[&[0]]);
        raw.expect(85, 11);
        raw
    }

    /// Publishes a message, and returns once the server has confirmed it. `properties`: the flags and what they stand for.
    pub fn publish(&mut self, exchange: &str, key: &[u8], properties: &[u8], body: &[u8]) {
        self.method(1, 60, 40, &[&[0, 0][..], &short(exchange.as_bytes()), &short(key), &[0]]);
        let size = (body.len() as u64).to_be_bytes();
        self.frame(2, 1, &[&[0, 60, 0, 0][..], &size, properties].concat());
        self.frame(3, 1, body);
        self.expect(60, 80);
    }

    fn method(&mut self, channel: u8, class: u8, method: u8, arguments: &[&[u8]]) {
        self.frame(1, channel, &[&[0, class, 0, method][..], &arguments.concat()].concat());
    }

    fn frame(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        let frame = [&[kind, 0, channel][..], &long(payload), &[0xce]].concat();
        self.0.write_all(&frame).expect("writes");
    }

    /// Reads until this method comes.
    #[track_caller]
    fn expect(&mut self, class: u8, method: u8) {
        loop {
            let mut header = [0; 7];
            self.0.read_exact(&mut header).expect("a frame");
            let size = u32::from_be_bytes(header[3..].try_into().expect("four bytes")) as usize;
            let mut payload = vec![0; size + 1];
            self.0.read_exact(&mut payload).expect("a frame");
            if header[0] == 1 {
                let got = (payload[1], payload[3]);
                assert_eq!(got, (class, method), "{}", String::from_utf8_lossy(&payload));
                return;
            }
        }
    }
}

/// Text with its length in one byte before it.
pub fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("short")][..], text].concat()
}

/// Bytes with their length in four bytes before them.
pub fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("not so long").to_be_bytes(), bytes].concat()
}
