//! TD_COAP_LINK: discovery and its filters (RFC 6690).

use super::{BOTH, each, exchange, last_response};
use crate::bench::{Ask, Bench, Client, Served};
use crate::check;
use crate::runner::Case;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // What each case asks of the gateway's own links, and of links that are named as the plugtests name them.
    let gateway: &[(&str, &str, &[&str])] = &[
        ("td_coap_link_01", "", &["register", "negotiate", "kex", "msg"]),
        ("td_coap_link_02", "?rt=sga.msg", &["msg"]),
        ("td_coap_link_03", "?rt=*", &["register", "negotiate", "kex", "msg"]),
        ("td_coap_link_05", "?if=sg*", &["register", "negotiate", "kex", "msg"]),
        ("td_coap_link_06", "?sz=*", &["register"]),
        ("td_coap_link_07", "?href=/msg", &["msg"]),
        ("td_coap_link_08", "?href=/*", &["register", "negotiate", "kex", "msg"]),
    ];
    let testbed: &[(&str, &str, &[&str])] = &[
        ("td_coap_link_01", "", &["link1", "link2", "obs", "test", "large"]),
        ("td_coap_link_02", "?rt=Type1", &["link1"]),
        ("td_coap_link_03", "?rt=*", &["link1", "link2", "obs", "test", "large"]),
        ("td_coap_link_04", "?rt=Type2", &["link1", "link2"]),
        ("td_coap_link_05", "?if=If*", &["link1"]),
        ("td_coap_link_06", "?sz=*", &["link1", "large"]),
        ("td_coap_link_07", "?href=/link1", &["link1"]),
        ("td_coap_link_08", "?href=/link*", &["link1", "link2"]),
    ];
    for &(name, query, targets) in gateway {
        let run = move |bench: &mut Bench, client| {
            let mut served = bench.gateway(&[])?;
            discover(bench, &mut served, client, query, targets)
        };
        cases.extend(each(BOTH, name, "gateway", run));
    }
    for &(name, query, targets) in testbed {
        let run = move |bench: &mut Bench, client| {
            let mut served = bench.testbed()?;
            discover(bench, &mut served, client, query, targets)
        };
        cases.extend(each(BOTH, name, "testbed", run));
    }
    cases
}

fn discover(
    bench: &mut Bench,
    served: &mut Served,
    client: Client,
    query: &str,
    targets: &[&str],
) -> Result<(), String> {
    let get = Ask::new("GET", &format!("/.well-known/core{query}"));
    let told = exchange(bench, served, client, &get, "CON", "ACK", "2.05")?;
    check!(last_response(served)?.uint(12) == Some(40), "no Content-Format 40");
    let text = String::from_utf8(told.body).map_err(|_| "no text")?;
    let found: Vec<&str> =
        text.split("</").skip(1).filter_map(|link| link.split_once('>').map(|(target, _)| target)).collect();
    check!(found == targets, "{query} finds {found:?}, not {targets:?}");
    Ok(())
}
