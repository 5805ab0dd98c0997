//! TD_COAP_BLOCK: bodies in pieces (RFC 7959).

use super::{BOTH, each, exchange};
use crate::bench::{Ask, Bench, Client, Served};
use crate::check;
use crate::runner::Case;
use crate::seen::{Seen, Way};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(each(BOTH, "td_coap_block_01", "gateway", |bench, client| early(bench, client, 2)));
    cases.extend(each(BOTH, "td_coap_block_02", "gateway", |bench, client| {
        let mut served = bench.gateway(&["--profile", "classic"])?;
        let package = served.package()?;
        let told = exchange(bench, &mut served, client, &Ask::new("GET", "/register"), "CON", "ACK", "2.05")?;
        check!(told.body == package, "another package");
        let seen = served.relay.seen();
        let first = seen.iter().find(|seen| seen.is_request()).ok_or("no request")?;
        check!(first.block(23).is_none(), "the client asked for a size");
        let sizes = is_whole(&served, package.len())?;
        check!(sizes < 1024, "nothing was negotiated");
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_block_03", "gateway", |bench, client| {
        let mut served = bench.gateway(&["--profile", "classic"])?;
        let (body, _) = bench.registration(&served, "sensor-1")?;
        let post = Ask { block: Some(2), ..Ask::new("POST", "/register").with(60, &body) };
        exchange(bench, &mut served, client, &post, "CON", "ACK", "2.01")?;
        // A second time: what is there is changed in place.
        exchange(bench, &mut served, client, &post, "CON", "ACK", "2.04")?;
        is_uploaded(&served, &body, 64)
    }));
    cases.extend(each(BOTH, "td_coap_block_03", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let body: Vec<u8> = (0..3_000u32).map(|at| b'a' + (at % 23) as u8).collect();
        let put = Ask { block: Some(2), ..Ask::new("PUT", "/large-update").with(0, &body) };
        exchange(bench, &mut served, client, &put, "CON", "ACK", "2.04")?;
        is_uploaded(&served, &body, 64)?;
        let told = exchange(bench, &mut served, client, &Ask::new("GET", "/large-update"), "CON", "ACK", "2.05")?;
        check!(told.body == body, "{} bytes came back", told.body.len());
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_block_04", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let body = vec![b'x'; 1_500];
        let post = Ask { block: Some(2), ..Ask::new("POST", "/large-create").with(0, &body) };
        exchange(bench, &mut served, client, &post, "CON", "ACK", "2.01")?;
        is_uploaded(&served, &body, 64)?;
        let created = super::last_response(&served)?;
        check!(created.options(8) == [b"large-create", b"1".as_slice()], "Location-Path");
        Ok(())
    }));
    cases.extend(each(BOTH, "td_coap_block_05", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let body: Vec<u8> = (0..1_300u32).map(|at| b'a' + (at / 64) as u8).collect();
        let post = Ask { block: Some(2), ..Ask::new("POST", "/large-post").with(0, &body) };
        let told = exchange(bench, &mut served, client, &post, "CON", "ACK", "2.04")?;
        check!(told.body == body.to_ascii_uppercase(), "{} bytes came back", told.body.len());
        is_uploaded(&served, &body, 64)?;
        is_whole(&served, body.len()).map(|_| ())
    }));
    cases.extend(each(BOTH, "td_coap_block_06", "gateway", |bench, client| early(bench, client, 0)));
    cases.extend(each(BOTH, "fetch_in_blocks_both_ways", "testbed", |bench, client| {
        let mut served = bench.testbed()?;
        let body: Vec<u8> = (0..150u8).collect();
        let fetch = Ask { block: Some(2), ..Ask::new("FETCH", "/fetch").with(42, &body) };
        let told = exchange(bench, &mut served, client, &fetch, "CON", "ACK", "2.05")?;
        check!(told.body == body.repeat(40), "{} bytes came back", told.body.len());
        Ok(())
    }));
    cases.extend(each(BOTH, "body_too_large", "gateway", too_large));
    cases
}

/// More than the gateway takes: said so at once and for good, with what it does take. The M bit of Block1 in an answer says
/// that the answer is not final (RFC 7959 §2.3): where it is set, aiocoap goes on with all its blocks.
fn too_large(bench: &mut Bench, client: Client) -> Result<(), String> {
    let mut served = bench.gateway(&[])?;
    let post = Ask { block: Some(6), ..Ask::new("POST", "/register").with(60, &[b'x'; 20_000]) };
    let told = served.ask(bench, client, &post);
    bench.keep(&served);
    let told = told?;
    let seen = served.relay.seen();
    let refusal = seen.iter().find(|seen| seen.code() == "4.13").ok_or("no 4.13")?;
    check!(refusal.uint(60).is_some_and(|size| size < 20_000), "4.13 without a Size1: {refusal}");
    check!(refusal.block(27).is_none_or(|(_, more, _)| !more), "4.13 that says that it is not final: {refusal}");
    let requests = seen.iter().filter(|seen| seen.is_request()).count();
    check!(requests <= 2, "{requests} requests: the first with its Echo was refused");
    check!(told.code == "4.13", "the client was told {}", told.code);
    Ok(())
}

/// The client asks for a size with its first request.
fn early(bench: &mut Bench, client: Client, exponent: u8) -> Result<(), String> {
    let mut served = bench.gateway(&["--profile", "classic"])?;
    let package = served.package()?;
    let get = Ask { block: Some(exponent), ..Ask::new("GET", "/register") };
    let told = exchange(bench, &mut served, client, &get, "CON", "ACK", "2.05")?;
    check!(told.body == package, "another package: {}", told.said);
    let asked = 16 << exponent;
    let seen = served.relay.seen();
    let first = seen.iter().find(|seen| seen.is_request()).ok_or("no request")?;
    check!(first.block(23) == Some((0, false, asked)), "no size was asked for: {first}");
    let size = is_whole(&served, package.len())?;
    check!(size <= asked, "blocks of {size} bytes, {asked} were asked for");
    Ok(())
}

/// The answer came in blocks, in order, all of one size and one ETag but the last. Their size.
fn is_whole(served: &Served, len: usize) -> Result<usize, String> {
    let seen = served.relay.seen();
    let blocks: Vec<&Seen> =
        seen.iter().filter(|seen| seen.way == Way::Down && seen.block(23).is_some() && seen.code() != "2.31").collect();
    let mut got = 0;
    let mut size = 0;
    for (at, seen) in blocks.iter().enumerate() {
        let (number, more, block) = seen.block(23).unwrap_or_default();
        check!(number as usize * block == got, "block {number} of {block} bytes after {got} bytes");
        check!(more == (at + 1 < blocks.len()), "block {number} says that more follow, or not");
        check!(!more || seen.payload().len() == block, "block {number} is not full");
        check!(seen.option(4) == blocks[0].option(4) && seen.option(4).is_some(), "block {number} has another ETag");
        got += seen.payload().len();
        size = block;
    }
    check!(got == len && blocks.len() > 1, "{got} of {len} bytes in {} blocks", blocks.len());
    Ok(size)
}

/// The body went up in blocks of this size, each answered with 2.31 but the last. Looks at the last upload.
fn is_uploaded(served: &Served, body: &[u8], size: usize) -> Result<(), String> {
    let seen = served.relay.seen();
    let starts = seen.iter().rposition(|seen| seen.is_request() && seen.block(27).is_some_and(|block| block.0 == 0));
    let from = starts.ok_or("no Block1")?;
    let up: Vec<&Seen> = seen.iter().skip(from).filter(|seen| seen.is_request() && seen.block(27).is_some()).collect();
    let sent: Vec<u8> = up.iter().flat_map(|seen| seen.payload().to_vec()).collect();
    check!(sent == body, "{} of {} bytes went up", sent.len(), body.len());
    check!(
        up.iter().all(|seen| seen.block(27).is_some_and(|block| block.2 <= size)),
        "blocks of more than {size} bytes"
    );
    for request in up.iter().take(up.len() - 1) {
        let answered = |seen: &&Seen| seen.way == Way::Down && seen.is_response() && seen.token() == request.token();
        let answer = seen.iter().skip(from).find(|seen| answered(seen) && seen.mid() == request.mid());
        check!(answer.is_some_and(|answer| answer.code() == "2.31"), "no 2.31 for {request}");
    }
    Ok(())
}
