//! From the application's response to one message: options, the block that was asked for, and the size that may be sent.

use crate::block::{BlockValue, size_of_szx};
use crate::code::Code;
use crate::message::{Response, etag_of};
use crate::option::{self, number};
use crate::token::Token;
use crate::wire::{Kind, Message};

/// What bears on the shape besides the response.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) token: Token,
    pub(crate) block1: Option<BlockValue>,
    pub(crate) block2: Option<BlockValue>,
    /// Sequence number, for an observer.
    pub(crate) observe: Option<u32>,
    pub(crate) echo: Option<Vec<u8>>,
    pub(crate) size1: Option<u32>,
    /// Bytes that the message may have.
    pub(crate) limit: usize,
    pub(crate) szx_max: u8,
}

/// The outcome. Kind and message ID are still to be set.
#[derive(Debug)]
pub(crate) enum Shaped {
    /// One message holds it all.
    Whole(Message),
    /// A block of it; the response, now with an ETag, is to be kept for the others.
    Block(Message, Response),
    /// Not even the smallest block may be sent.
    DoesNotFit,
    /// The block asked for lies past the end of the body.
    PastEnd,
}

pub(crate) fn shape(mut response: Response, frame: &Frame) -> Shaped {
    response.etag = response.etag.filter(|etag| (1..=8).contains(&etag.len()));
    if !response.code.is_success() {
        return Shaped::Whole(error(&response, frame));
    }
    let offset = frame.block2.map_or(0, BlockValue::offset);
    if offset > 0 && offset >= response.payload.len() {
        return Shaped::PastEnd;
    }
    let szx_max = frame.block2.map_or(frame.szx_max, |block| block.szx.min(frame.szx_max));
    if offset == 0 && response.payload.len() <= size_of_szx(szx_max) {
        let mut message = head(&response, frame);
        if let Some(asked) = frame.block2 {
            let block = BlockValue { num: 0, more: false, szx: asked.szx.min(szx_max) };
            message.push(number::BLOCK2, block.to_bytes());
        }
        message.payload.clone_from(&response.payload);
        if message.encode().len() <= frame.limit {
            return Shaped::Whole(message);
        }
    }
    response.etag.get_or_insert_with(|| etag_of(&response.payload));
    let mut message = head(&response, frame);
    // Room for the longest Block2 value, so that the size does not change over the transfer, and for the marker.
    let overhead = message.encode().len() + 5 + 1;
    let Some(szx) = (0..=szx_max).rev().find(|szx| overhead + size_of_szx(*szx) <= frame.limit) else {
        return Shaped::DoesNotFit;
    };
    let size = size_of_szx(szx);
    let end = (offset + size).min(response.payload.len());
    let block = BlockValue { num: (offset / size) as u32, more: end < response.payload.len(), szx };
    message.push(number::BLOCK2, block.to_bytes());
    message.payload = response.payload.get(offset..end).unwrap_or_default().to_vec();
    Shaped::Block(message, response)
}

/// An error: with its body and options if they may be sent, else with less.
fn error(response: &Response, frame: &Frame) -> Message {
    let mut message = head(response, frame);
    message.payload.clone_from(&response.payload);
    if message.encode().len() <= frame.limit {
        return message;
    }
    let bare = Response { payload: Vec::new(), content_format: None, ..response.clone() };
    let message = head(&bare, frame);
    if message.encode().len() <= frame.limit {
        return message;
    }
    // Never longer than three times the shortest request with this token.
    Message::new(Kind::Non, response.code, 0, frame.token)
}

/// Everything but Block2 and the payload.
fn head(response: &Response, frame: &Frame) -> Message {
    let mut message = Message::new(Kind::Non, response.code, 0, frame.token);
    if let Some(etag) = &response.etag {
        message.push(number::ETAG, etag.clone());
    }
    if let Some(sequence) = frame.observe {
        message.push(number::OBSERVE, option::uint_bytes(sequence));
    }
    for segment in &response.location_path {
        message.push(number::LOCATION_PATH, segment.as_bytes());
    }
    for part in &response.location_query {
        message.push(number::LOCATION_QUERY, part.as_bytes());
    }
    if let Some(format) = response.content_format {
        message.push(number::CONTENT_FORMAT, option::uint_bytes(u32::from(format)));
    }
    if let Some(seconds) = response.max_age {
        message.push(number::MAX_AGE, option::uint_bytes(seconds));
    }
    if let Some(block) = frame.block1 {
        message.push(number::BLOCK1, block.to_bytes());
    }
    if let Some(size) = frame.size1 {
        message.push(number::SIZE1, option::uint_bytes(size));
    }
    if let Some(echo) = &frame.echo {
        message.push(number::ECHO, echo.clone());
    }
    message
}

/// 2.03 in place of a body that the client already holds.
pub(crate) fn revalidate(response: &mut Response, etags: &[Vec<u8>]) {
    if response.code != Code::CONTENT || etags.is_empty() {
        return;
    }
    let etag = response.etag.clone().unwrap_or_else(|| etag_of(&response.payload));
    if etags.contains(&etag) {
        response.code = Code::VALID;
        response.etag = Some(etag);
        response.payload.clear();
        response.content_format = None;
    }
}
