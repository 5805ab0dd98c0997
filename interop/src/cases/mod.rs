//! The cases. Those of the ETSI plugtests have the plugtests' identifiers.

mod block;
mod capture;
mod client;
mod core;
mod link;
mod network;
mod observe;
mod second;
mod sga;

use crate::bench::{Ask, Bench, Client, Served, Told};
use crate::check;
use crate::runner::Case;
use crate::seen::{Seen, Way};

/// All of them, in the order of the table.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(core::cases());
    cases.extend(link::cases());
    cases.extend(block::cases());
    cases.extend(observe::cases());
    cases.extend(client::cases());
    cases.extend(sga::cases());
    cases.extend(network::cases());
    cases.extend(capture::cases());
    cases.extend(second::cases());
    cases
}

const BOTH: &[Client] = &[Client::Libcoap, Client::Aiocoap];

impl Client {
    fn name(self) -> &'static str {
        match self {
            Client::Libcoap => "libcoap coap-client",
            Client::Aiocoap => "aiocoap client",
        }
    }
}

fn case(
    name: &str,
    peer: &'static str,
    ours: &'static str,
    run: impl Fn(&mut Bench) -> Result<(), String> + Send + Sync + 'static,
) -> Case {
    Case { name: name.to_owned(), peer, ours, run: Box::new(run) }
}

/// The same case with each of these clients.
fn each(
    clients: &[Client],
    name: &str,
    ours: &'static str,
    run: impl Fn(&mut Bench, Client) -> Result<(), String> + Copy + Send + Sync + 'static,
) -> Vec<Case> {
    clients.iter().map(|&client| case(name, client.name(), ours, move |bench| run(bench, client))).collect()
}

/// A request whose last message and answer have these types and code, the same token, and with an ACK the same message ID.
fn exchange(
    bench: &mut Bench,
    served: &mut Served,
    client: Client,
    ask: &Ask,
    asked: &str,
    answered: &str,
    code: &str,
) -> Result<Told, String> {
    let told = served.ask(bench, client, ask);
    bench.keep(served);
    let told = told?;
    let seen = served.relay.seen();
    let at = seen.iter().rposition(Seen::is_request).ok_or("no request went by")?;
    let (request, response) = (&seen[at], last_response(served)?);
    check!(request.kind() == asked, "the request is {}", request.kind());
    check!(response.is(answered, code), "{answered} {code} was expected: {response}\n    {}", told.said);
    check!(response.token() == request.token(), "another token");
    check!(answered != "ACK" || response.mid() == request.mid(), "another message ID");
    Ok(told)
}

/// The last response that went by.
fn last_response(served: &Served) -> Result<Seen, String> {
    let seen = served.relay.seen();
    seen.into_iter().rev().find(|seen| seen.way == Way::Down && seen.is_response()).ok_or("no response".to_owned())
}
