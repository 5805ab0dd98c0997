//! Guessing k_d (the paper's sections 5.2 and 5.3).
//!
//! On line: somebody sends what would be right if its guess were. Off line: somebody has recorded what a device said, and tries guesses
//! at home. The paper wants neither to work although k_d may be weak. Here k_d is 32 uniform bytes of the device's own making, and no
//! command takes one from a person: for what is sealed under k_d beside values in clear can be tried at home, and the list of it is below.
//! On line there is a limit for each source, and never a lock on an identity.

use std::net::SocketAddr;

use sga_coap::Code;
use sga_crypto::{Secret, sha256, steps};
use sga_schema::{Ack, Attach, Inbox, Profile, Register, Registered};

use crate::support::by_hand;
use crate::support::taped::values::{decoded, opened};
use crate::support::taped::{self, AEAD, ALICE, Run};

/// Whether a guess of k_d can be checked with this message, and what was recorded around it, alone.
fn checks(run: &Run, what: &str, guess: &Secret<32>) -> bool {
    let exchange = |path: &str, number: usize| run.exchange(ALICE, path, number);
    let registration =
        run.exchanges.iter().find(|exchange| exchange.device == ALICE && exchange.code == "2.01").unwrap();
    match what {
        "Register" => {
            let request: Register<'_> = decoded(&registration.request);
            opened(steps::register_id(AEAD, guess, &sha256(request.sealed_key)), request.sealed_id).is_ok()
        }
        "Registered" => {
            let answer: Registered<'_> = decoded(&registration.answer);
            opened(steps::registered(AEAD, guess, &sha256(&registration.request), &answer.nonce), answer.sealed).is_ok()
        }
        "Attach" => {
            let request: Attach<'_> = decoded(&exchange("msg", 0).request);
            opened(steps::attach(AEAD, guess, &request.nonce), request.sealed).is_ok()
        }
        "Inbox" => {
            let exchange = exchange("msg", 0);
            let (request, answer): (Attach<'_>, Inbox<'_>) = (decoded(&exchange.request), decoded(&exchange.answer));
            opened(steps::inbox(AEAD, guess, &request.nonce, answer.counter), answer.sealed).is_ok()
        }
        "Ack" => {
            let attach: Attach<'_> = decoded(&exchange("msg", 0).request);
            let acks = run.exchanges.iter().filter(|exchange| exchange.device == ALICE && exchange.path == "msg");
            let mut acks = acks.filter_map(|exchange| sga_schema::decode::<Ack<'_>>(&exchange.request).ok());
            acks.any(|ack| opened(steps::ack(AEAD, guess, &attach.nonce, ack.counter), ack.sealed).is_ok())
        }
        _ => unreachable!("not in the list"),
    }
}

/// Each costs one HKDF and one opening a guess, and there are 2^256 of them.
#[test]
fn off_line_every_seal_under_k_d_checks_a_guess_so_k_d_has_to_be_uniform() {
    let run = taped::run(Profile::Compact);
    let right = run.k_d(ALICE).duplicate();
    for what in ["Register", "Registered", "Attach", "Inbox", "Ack"] {
        assert!(checks(&run, what, &right), "{what} checks a guess");
        let mut near = *right.expose();
        for bit in 0..256 {
            near[bit / 8] ^= 1 << (bit % 8);
            assert!(!checks(&run, what, &Secret::new(near)), "{what}: a key that differs in bit {bit}");
            near[bit / 8] ^= 1 << (bit % 8);
        }
    }
    // A1 and A3 are under PK. A Half is under k_t and k_d together, and k_t is never in clear. A Message is under neither.
}

/// k_d is drawn by the device: there is no way to hand it one.
#[test]
fn no_command_takes_a_key_from_a_person() {
    for command in ["register", "rotate"] {
        let help = std::process::Command::new(env!("CARGO_BIN_EXE_sga-demo"))
            .args(["__device", command, "--help"])
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        let options: Vec<&str> = text.split_whitespace().filter(|word| word.starts_with("--")).collect();
        assert!(options.contains(&"--timeout") && help.status.success(), "{text}");
        assert!(!options.iter().any(|option| option.contains("key") || option.contains("password")), "{options:?}");
    }
}

/// 10,000 wrong attaches with a ticket of alice's that was seen on the air, from as many addresses, cost their senders an answer each
/// and her nothing.
#[test]
fn on_line_no_number_of_failed_guesses_locks_an_identity() {
    let mut world = by_hand::World::compact();
    let (mut amy, bob) = (world.device("amy", 1), world.device("bob", 2));
    world.attach(&mut amy);
    let before = world.store.clone();
    let jobs = world.jobs;
    for guess in 0..10_000_u32 {
        let [_, a, b, c] = guess.to_be_bytes();
        let from = SocketAddr::from(([100, 64 + a, b, c], 5_683));
        let mut dev = by_hand::Dev { addr: from, ..amy.clone() };
        dev.attach_number += 1;
        dev.key = sga_crypto::sha256(&guess.to_be_bytes());
        let request = world.attach_bytes(&dev);
        let code = world.fetch(from, &request).code;
        assert!(matches!(code, Code::UNAUTHORIZED | Code::TOO_MANY_REQUESTS), "{code}");
    }
    assert!(world.store == before, "nothing has changed");
    assert_eq!(world.jobs, jobs, "and nothing was computed for them");
    // At once, and from where she is.
    assert!(world.attach(&mut amy).is_empty());
    assert_eq!(world.invite(&mut amy, bob.id).answer.code, Code::CREATED);
}
