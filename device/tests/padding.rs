//! Padded devices: what they send says nothing by its length, and what they say arrives as it was.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use sga_crypto::Secret;
use sga_device::{Accept, Device, DeviceError, Handled, RequestKind, Suite, SuiteSet};
use sga_schema::padding::{self, PADDED_TEXT_LEN_MAX};
use sga_schema::{A1, Ack, Attach, Inbox, MessagePost, Profile, Register, Registered};
use support::{End, Gateway, id, settle};

fn end(name: &str, seed: u8, suite: Suite, pad: bool) -> End {
    let key = Secret::new([seed; 32]);
    let mut end = End::new(Device::new(id(name), key, suite, SuiteSet::ALL, Accept::All).unwrap(), seed);
    end.device.set_pad(pad);
    end.device.register();
    end
}

fn established(suite: Suite, pads: [bool; 2]) -> (Gateway, End, End) {
    let mut gateway = Gateway::new(Profile::Compact, 9);
    let (mut amy, mut bob) = (end("amy", 1, suite, pads[0]), end("bob", 2, suite, pads[1]));
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    amy.device.connect(id("bob"), None).unwrap();
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert!(amy.device.can_send(id("bob")) && bob.device.can_send(id("amy")), "{:?} {:?}", amy.log, bob.log);
    (gateway, amy, bob)
}

/// The next request of an end, and its answer, handed over.
fn step(gateway: &mut Gateway, end: &mut End) -> Option<(RequestKind, Vec<u8>, Vec<u8>)> {
    let (out, payload) = end.poll()?;
    let reply = gateway.handle(out.kind, &payload);
    let answer = reply.1.clone();
    assert_eq!(end.respond(reply), Handled::Done, "{out:?}");
    Some((out.kind, payload, answer))
}

fn inbox_len(payload: &[u8]) -> usize {
    sga_schema::decode::<Inbox<'_>>(payload).unwrap().sealed.len()
}

#[test]
fn what_a_device_sends_and_gets_has_the_same_lengths_whoever_it_is() {
    let mut lengths = Vec::new();
    for suite in Suite::ALL {
        for name in ["a", "a name of 16 byt"] {
            let mut gateway = Gateway::new(Profile::Compact, 9);
            let mut amy = end(name, 1, suite, true);
            let mut seen = Vec::new();
            while let Some((kind, payload, answer)) = step(&mut gateway, &mut amy) {
                match kind {
                    RequestKind::Register => {
                        let request: Register<'_> = sga_schema::decode(&payload).unwrap();
                        let registered: Registered<'_> = sga_schema::decode(&answer).unwrap();
                        seen.extend([request.sealed_id.len(), registered.sealed.len()]);
                    }
                    RequestKind::Attach { .. } => {
                        let attach: Attach<'_> = sga_schema::decode(&payload).unwrap();
                        seen.extend([attach.sealed.len(), inbox_len(&answer)]);
                    }
                    _ => {}
                }
            }
            amy.device.connect(id("nobody"), None).unwrap();
            let (kind, payload, _) = step(&mut gateway, &mut amy).unwrap();
            assert_eq!(kind, RequestKind::Invite);
            seen.push(payload.len());
            lengths.push(seen);
        }
    }
    assert!(lengths.iter().all(|seen| *seen == lengths[0]), "{lengths:?}");
    assert_eq!(lengths[0][..4], [34, 50, 34, 52]);
}

#[test]
fn texts_come_out_as_they_went_in_whoever_pads() {
    for (at, suite) in Suite::ALL.into_iter().enumerate() {
        for pads in [[true, true], [true, false], [false, true]] {
            let (mut gateway, mut amy, mut bob) = established(suite, pads);
            let long = vec![0x80; PADDED_TEXT_LEN_MAX - at];
            for text in [&b""[..], b"\x80", b"21.5", &[0; 23], &[0; 24], &[7; 32], &[0x80; 64], &long] {
                for (from, to, peer) in [(0, 1, "bob"), (1, 0, "amy")] {
                    let ends = [&mut amy, &mut bob];
                    ends[from].send(id(peer), text);
                    let payload = ends[from].outbox.clone().unwrap();
                    let post: MessagePost<'_> = sga_schema::decode(&payload).unwrap();
                    let plain_len = if pads[from] { padding::text_len(text.len()).unwrap() } else { text.len() };
                    assert_eq!(post.ciphertext.len(), plain_len + suite.tag_len());
                    settle(&mut gateway, &mut [&mut amy, &mut bob]);
                    let got = if to == 0 { &amy.texts } else { &bob.texts };
                    assert_eq!(got.last().map(Vec::as_slice), Some(text), "{suite} {pads:?}");
                }
            }
            assert!(!amy.has("Gap") && !bob.has("Gap"));
            assert_eq!((amy.device.counters().malformed_items, bob.device.counters().malformed_items), (0, 0));
        }
    }
}

#[test]
fn acknowledgements_and_notifications_are_padded_as_the_attach_was() {
    let (mut gateway, mut amy, mut bob) = established(Suite::AesCcm8, [true, false]);
    for round in 0..30 {
        for (end, peer) in [(&mut amy, "bob"), (&mut bob, "amy")] {
            end.send(id(peer), &vec![7; round * 9]);
            while step(&mut gateway, end).is_some() {}
        }
        for (end, padded) in [(&mut amy, true), (&mut bob, false)] {
            let payload = gateway.notification(end.device.id()).unwrap();
            let len = inbox_len(&payload);
            assert_eq!(padding::inbox_sealed_len(len) == len, padded, "{round}: {len}");
            end.notify(payload);
            while let Some((kind, payload, _)) = step(&mut gateway, end) {
                assert_eq!(kind, RequestKind::Ack);
                let ack: Ack<'_> = sga_schema::decode(&payload).unwrap();
                assert_eq!(ack.sealed.len() == padding::ACK_SEALED_LEN, padded);
            }
            assert_eq!(end.texts.last(), Some(&vec![7; round * 9]));
        }
    }
}

#[test]
fn padding_takes_its_room_and_no_more() {
    let (_, mut amy, _) = established(Suite::AesCcm16, [true, true]);
    let mut buf = vec![0; 9_000];
    let text = vec![1; PADDED_TEXT_LEN_MAX + 1];
    assert_eq!(amy.device.send(id("bob"), &text, &mut buf), Err(DeviceError::TooLong));
    let needed = sga_device::sealed_len_max(24);
    for len in [0, 24, 64, 80] {
        let sent = amy.device.send(id("bob"), &[1; 24], &mut buf[..len]);
        assert_eq!(sent, Err(DeviceError::BufferTooSmall), "{len}");
    }
    let sealed = amy.device.send(id("bob"), &[1; 24], &mut buf[..needed]).unwrap();
    assert_eq!(sealed.sequence, 1, "what did not fit used nothing up");
    amy.device.abandon(id("bob"));
    amy.device.set_pad(false);
    let sealed = amy.device.send(id("bob"), &text, &mut buf).unwrap();
    assert!(sealed.len > PADDED_TEXT_LEN_MAX);
}

#[test]
fn bent_padding_of_an_inbox_is_no_inbox() {
    let bends: [fn(&mut Vec<u8>); 5] = [
        |plain| *plain.last_mut().unwrap() = 1,
        |plain| {
            let begin = plain.iter().rposition(|byte| *byte == 0x80).unwrap();
            plain[begin] = 0;
        },
        |plain| plain.push(0),
        |plain| {
            plain.pop();
        },
        |plain| plain.extend([0; 64]),
    ];
    for (at, bend) in bends.into_iter().enumerate() {
        let (mut gateway, mut amy, _) = established(Suite::AesCcm8, [true, true]);
        amy.device.attach(true);
        assert!(amy.poll().is_some());
        amy.device.handle_failure();
        let (out, payload) = amy.poll().unwrap();
        let before = amy.disk.clone();
        gateway.bend_inbox = Some(bend);
        let reply = gateway.handle(out.kind, &payload);
        // The last makes another size of it, which is as good as the smallest.
        let good = at == 4;
        assert_eq!(amy.respond(reply) == Handled::Done, good, "{at}");
        assert_eq!(amy.disk == before && !amy.device.needs_save(), !good, "{at}");
    }
}

#[test]
fn message_0_is_padded_as_its_keys_were_made() {
    let (mut gateway, mut amy, mut bob) = established(Suite::AesCcm8, [true, false]);
    // Whatever is set later, it is the same bytes, also in a later life.
    amy.device.rekey(id("bob")).unwrap();
    let mut messages = Vec::new();
    for round in 0..60 {
        if let Some((out, payload)) = amy.poll() {
            let reply = gateway.handle(out.kind, &payload);
            if out.kind == RequestKind::Message && messages.len() < 3 {
                let post: MessagePost<'_> = sga_schema::decode(&payload).unwrap();
                assert_eq!((post.sequence, post.ciphertext.len()), (0, padding::CONFIRMATION_LEN + 8));
                messages.push(payload);
                amy.crash();
                amy.device.set_pad(round % 2 == 0);
            } else {
                let _ = amy.respond(reply);
            }
        }
        if let Some((out, payload)) = bob.poll() {
            let reply = gateway.handle(out.kind, &payload);
            let _ = bob.respond(reply);
        }
        for end in [&mut amy, &mut bob] {
            if let Some(payload) = gateway.notification(end.device.id()) {
                end.notify(payload);
            }
        }
    }
    assert!(messages.len() == 3 && messages.windows(2).all(|pair| pair[0] == pair[1]), "{messages:02x?}");
    amy.send(id("bob"), b"after");
    settle(&mut gateway, &mut [&mut amy, &mut bob]);
    assert_eq!(bob.texts, [b"after".to_vec()]);
    // A1 has a size to be padded to, and A3 needs none.
    assert!(
        sga_schema::encoded_len(&A1 {
            request_number: u32::MAX,
            nonce_i: [0; 8],
            masked: [0; 16],
            id_i: id("a name of 16 byt"),
            id_j: id("a name of 16 byt"),
            suite: Suite::AesCcm8,
            tag: [0; 8],
        }) < padding::A1_LEN
    );
}
