//! Control messages between host and enclave, in either direction: the first byte says which.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vouchsafe_fuzz::{careless, planted};
use vouchsafe_link::control::{EnclaveMessage, Health, HostMessage, Receiver, Sender};

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((0, rest)) => {
            for message in messages::<EnclaveMessage>(rest) {
                if let EnclaveMessage::Health(health) = message {
                    let Health { sessions, active, queued, queue_max, receipts_unacknowledged, .. } = health;
                    planted(|| {
                        careless::small([sessions, active, queued, queue_max, receipts_unacknowledged])
                    });
                }
            }
        }
        Some((_, rest)) => drop(messages::<HostMessage>(rest)),
        None => {}
    }
});

/// Every message up to the end or the first that is none; each as it is when it was sent again.
fn messages<M: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Vec<M> {
    let mut receiver = Receiver::new(bytes);
    let mut messages = Vec::new();
    while let Ok(Some(message)) = now(receiver.receive::<M>()) {
        let mut again = Vec::new();
        // What was written shortly can be too long when it is written again.
        if now(Sender::new(&mut again).send(&message)).is_ok() {
            assert_eq!(now(Receiver::new(&*again).receive::<M>()).ok().flatten().as_ref(), Some(&message));
        }
        messages.push(message);
    }
    messages
}

/// The value of a future that waits for nothing.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a slice is always ready"),
    }
}
