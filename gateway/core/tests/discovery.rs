//! What anyone may ask: the package, and what there is (RFC 6690).
#![allow(clippy::unwrap_used, reason = "what does not decode fails the test")]

mod support;

use sga_coap::{Code, Request};
use support::{Answer, World, addr};

fn ask(world: &mut World, queries: &[&str]) -> Answer {
    let get = Request::new(Code::GET, [".well-known", "core"]);
    world.request(addr(9), queries.iter().fold(get, |request, query| request.with_query(*query)))
}

fn targets(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.code, answer.content_format), (Code::CONTENT, Some(40)));
    let text = String::from_utf8(answer.payload.clone()).unwrap();
    text.split(',')
        .filter_map(|link| link.strip_prefix("</").and_then(|link| link.split_once('>')))
        .map(|(target, _)| target.to_owned())
        .collect()
}

#[test]
fn every_resource_is_found() {
    let mut world = World::compact();
    let all = ask(&mut world, &[]);
    assert_eq!(targets(&all), ["register", "negotiate", "kex", "msg"]);
    for query in ["if=sga", "rt=sga.*", "ct=60", "href=/*"] {
        assert_eq!(ask(&mut world, &[query]), all, "{query}");
    }
    assert_eq!(targets(&ask(&mut world, &["rt=sga.msg"])), ["msg"]);
    assert_eq!(targets(&ask(&mut world, &["sz=*"])), ["register"]);
    assert_eq!(targets(&ask(&mut world, &["obs="])), ["msg"]);
    assert_eq!(targets(&ask(&mut world, &["rt=nothing"])), Vec::<String>::new());
    // What is said of each is so: the formats, the size, and what observes.
    let package = world.request(addr(9), Request::new(Code::GET, ["register"]));
    let text = String::from_utf8(all.payload).unwrap();
    assert!(text.contains(&format!("sz={}", package.payload.len())), "{text}");
}

#[test]
fn what_is_no_filter_is_refused() {
    let mut world = World::compact();
    world.unchanged(Code::BAD_REQUEST, |w| ask(w, &["rt"]));
    world.unchanged(Code::BAD_REQUEST, |w| ask(w, &["a=1", "b=1", "c=1", "d=1", "e=1"]));
    let other_format = Request::new(Code::GET, [".well-known", "core"]).with_accept(60);
    world.unchanged(Code::NOT_ACCEPTABLE, |w| w.request(addr(9), other_format));
    let other_format = Request::new(Code::GET, ["register"]).with_accept(40);
    world.unchanged(Code::NOT_ACCEPTABLE, |w| w.request(addr(9), other_format));
    world
        .unchanged(Code::METHOD_NOT_ALLOWED, |w| w.request(addr(9), Request::new(Code::POST, [".well-known", "core"])));
    for path in [vec![".well-known/core"], vec![".well-known"], vec![".well-known", "core", ""], vec!["", "register"]] {
        world.unchanged(Code::NOT_FOUND, |w| w.request(addr(9), Request::new(Code::GET, path)));
    }
}
