//! Alerts go out to servers that misbehave, and hold nothing up.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use vouchsafe_monitor::{Patience, Violation, Webhook};
use vouchsafe_verifier::encoding::Hex;

const QUICK: Patience =
    Patience { answer_max: Duration::from_millis(300), attempts_max: 6, pause: Duration::from_millis(1) };

fn revoked() -> Violation {
    Violation::Revoked {
        index: 7,
        serial: 3,
        name: "leak".into(),
        subject: format!("boot {}", Hex([1; 32])),
        at: 1_750_000_000,
        reason: "what the operator wrote is nobody else's to post".into(),
    }
}

/// What a server does with one connection.
type Manner = fn(TcpStream);

fn read_request(stream: &TcpStream) -> Value {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn answer(mut stream: TcpStream, text: &str) {
    read_request(&stream);
    let _ = stream.write_all(text.as_bytes());
}

#[test]
fn a_server_that_misbehaves_is_tried_again_until_it_takes_the_alert() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let manners: [Manner; 5] = [
        |stream| drop(stream),
        |stream| answer(stream, "HTTP/1.1 500 Sorry\r\ncontent-length: 0\r\n\r\n"),
        |stream| answer(stream, "nothing that anybody speaks\r\n\r\n"),
        // Accepts and never answers.
        |mut stream| drop(stream.read_to_end(&mut Vec::new())),
        // Sends it on, where it is not to go.
        |stream| {
            answer(
                stream,
                "HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            )
        },
    ];
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for manner in manners {
            manner(listener.accept().unwrap().0);
        }
        let (mut stream, _) = listener.accept().unwrap();
        let request = read_request(&stream);
        // An answer without end: only its head matters.
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        tell.send(request).unwrap();
        while stream.write_all(b"5\r\nagain\r\n").is_ok() {}
    });
    let webhook = Webhook::new(&url, QUICK);
    assert!(webhook.post("log.example/one", &revoked(), 1_750_000_001));
    let outcome = webhook.finish(Duration::from_secs(60)).unwrap();
    assert_eq!((outcome.taken, outcome.given_up), (1, 0));
    let subject = format!("boot {}", Hex([1; 32]));
    let expected =
        json!({"code": "revoked", "subject": subject, "log": "log.example/one", "time": 1_750_000_001});
    assert_eq!(told.recv().unwrap(), expected, "and nothing else");
}

#[test]
fn an_alert_that_nobody_takes_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            tell.send(()).unwrap();
            answer(stream.unwrap(), "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let webhook = Webhook::new(&url, QUICK);
    assert!(webhook.post("log.example/one", &revoked(), 1));
    let outcome = webhook.finish(Duration::from_secs(60)).unwrap();
    assert_eq!((outcome.taken, outcome.given_up), (0, 1));
    assert_eq!(told.try_iter().count(), 6, "so often and no more");
}

/// A server that takes connections and says nothing: posting returns at once all the same, and the queue has an
/// end. If it did not, this test would not come to its own.
#[test]
fn a_silent_server_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let hours = Duration::from_secs(36_000);
    let webhook = Webhook::new(&url, Patience { answer_max: hours, attempts_max: 9, pause: hours });
    let taken = (0..1_000).filter(|n| webhook.post("log.example/one", &revoked(), *n)).count();
    assert!((256..=257).contains(&taken), "{taken}");
    assert_eq!(webhook.finish(Duration::from_millis(10)), None);
    drop(listener);
}
