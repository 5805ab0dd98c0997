//! A client and a server through a link that loses, doubles and reorders.
mod common;
use std::collections::BTreeMap;

use common::*;
use sga_coap::{Code, Event, ExchangeId, Request, Response, Token};

/// Answers every request with its method, path and body, mirrored; POSTs are counted by body.
#[derive(Default)]
struct App {
    executed: BTreeMap<Vec<u8>, u32>,
    observer: Option<Token>,
    answers: BTreeMap<ExchangeId, Vec<(Code, Vec<u8>)>>,
    failures: u32,
    slow: bool,
    waiting: Vec<(sga_coap::Now, sga_coap::RequestId, Response)>,
}

impl App {
    fn run(&mut self, link: &mut Link, until: u64) {
        let end = ms(until);
        loop {
            let answer = self.waiting.iter().map(|(time, ..)| *time).min();
            let stop = answer.map_or(end, |time| time.min(end));
            let more = link.step(stop) || stop < end;
            self.serve(link);
            for event in events(&mut link.nodes[0]) {
                match event {
                    Event::Response { id, response } => {
                        self.answers.entry(id).or_default().push((response.code, response.payload));
                    }
                    Event::Failed { .. } => self.failures += 1,
                    other => panic!("{other:?}"),
                }
            }
            if !more {
                return;
            }
        }
    }

    fn serve(&mut self, link: &mut Link) {
        for event in events(&mut link.nodes[1]) {
            match event {
                Event::Request(request) => {
                    if request.method == Code::POST {
                        *self.executed.entry(request.payload.clone()).or_default() += 1;
                    }
                    let mut answer = request.payload.clone();
                    answer.reverse();
                    let mut response = Response::new(Code::CONTENT).with_payload(42, answer);
                    if request.registers() {
                        response = response.with_observe();
                        self.observer = Some(request.token);
                    }
                    let delay = if self.slow { ms(700) } else { ms(0) };
                    self.waiting.push((link.now + delay, request.id, response));
                }
                Event::ObserverGone { token, .. } if self.observer == Some(token) => self.observer = None,
                _ => {}
            }
        }
        let now = link.now;
        let (due, later) = self.waiting.drain(..).partition(|(time, ..)| *time <= now);
        self.waiting = later;
        let due: Vec<_> = due;
        for (_, id, response) in due {
            link.nodes[1].respond(now, id, response);
        }
    }
}

fn body(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 ^ salt).collect()
}

fn link(seed: u64, loss: u32) -> Link {
    Link::new([node(config(), seed), node(config(), seed + 1000)], seed, loss, 20)
}

#[test]
fn every_size_and_method_completes_and_runs_once() {
    let mut failures = 0;
    for seed in 0..12 {
        for (loss, slow) in [(0, false), (15, false), (15, true)] {
            let mut link = link(seed, loss);
            let mut app = App { slow, ..App::default() };
            let mut expected = BTreeMap::new();
            for (n, len) in [0, 10, 64, 65, 1024, 1025, 3000].into_iter().enumerate() {
                let method = if n % 2 == 0 { Code::POST } else { Code::FETCH };
                let sent = body(len, n as u8);
                let segment = if n % 3 == 0 { "guarded" } else { "r" };
                let mut request = Request::new(method, [segment]).with_payload(42, sent.clone());
                if n % 2 == 1 {
                    request = request.with_block_szx(3);
                }
                let id = link.nodes[0].request(link.now, addr(2), request).unwrap();
                let mut back = sent;
                back.reverse();
                expected.insert(id, vec![(Code::CONTENT, back)]);
            }
            app.run(&mut link, 3_000_000);
            let runs: Vec<_> = app.executed.iter().map(|(body, count)| (body.len(), *count)).collect();
            assert!(runs.iter().all(|(_, count)| *count == 1), "seed {seed} loss {loss} slow {slow}: {runs:?}");
            failures += app.failures;
            if loss == 0 {
                assert_eq!(app.failures, 0);
                assert_eq!(app.answers, expected);
            }
            for (id, answer) in &app.answers {
                assert_eq!(answer, &expected[id]);
            }
            assert_eq!(app.answers.len() + app.failures as usize, expected.len());
            assert_eq!(link.nodes[0].usage().exchanges + link.nodes[0].usage().timers, 0);
        }
    }
    assert!(failures <= 3, "15 % loss should hardly defeat four retransmissions: {failures}");
}

#[test]
fn observers_end_with_the_newest_state() {
    for seed in 0..20 {
        for len in [20, 2000] {
            let mut link = link(seed, 10);
            let mut app = App::default();
            link.nodes[1].mark_verified(addr(1), ms(0));
            let request = Request::new(Code::FETCH, ["r"]).with_payload(42, "question").with_observe();
            let id = link.nodes[0].request(link.now, addr(2), request).unwrap();
            app.run(&mut link, 100_000);
            let Some(token) = app.observer else { continue };
            let mut last = Vec::new();
            for round in 1..8u64 {
                let state = body(len, round as u8);
                let response = Response::new(Code::CONTENT).with_payload(42, state.clone());
                if link.nodes[1].notify(link.now, addr(1), &token, response).is_ok() {
                    last = state;
                }
                app.run(&mut link, 100_000 + round * 200_000);
            }
            if app.observer.is_some() && app.failures == 0 {
                assert_eq!(app.answers[&id].last(), Some(&(Code::CONTENT, last)));
                assert_eq!(link.nodes[0].usage().exchanges, 1);
            }
            // After cancelling, the next notification is reset.
            link.nodes[0].cancel(id);
            link.loss = 0;
            let _ = link.nodes[1].notify(link.now, addr(1), &token, Response::new(Code::CONTENT));
            app.run(&mut link, 3_000_000);
            assert_eq!((app.observer, link.nodes[1].usage().observers), (None, 0));
        }
    }
}

#[test]
fn a_dead_peer_fails_in_time() {
    let mut link = link(1, 100);
    let mut app = App::default();
    link.nodes[0].request(link.now, addr(2), Request::new(Code::GET, ["r"])).unwrap();
    app.run(&mut link, 1000 + 93_000);
    assert_eq!(app.failures, 1);
}
