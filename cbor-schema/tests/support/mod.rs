//! An encoded example of every message of every profile, and a look at the heads of one.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use sga_schema::*;

/// What strings of variable length are filled with; those of fixed length are not.
pub const VARIABLE: u8 = 0xee;
/// A string of fixed length.
pub const FIXED: u8 = 0x11;

pub struct Sample {
    /// The CDDL rule.
    pub rule: &'static str,
    pub bytes: Vec<u8>,
    /// Decodes as the same type and encodes again.
    pub again: fn(&[u8]) -> Result<Vec<u8>, SchemaError>,
}

pub fn encoded<'a, T: Message<'a>>(message: &T) -> Vec<u8> {
    let mut bytes = vec![0; encoded_len(message)];
    assert_eq!(encode(message, &mut bytes), Ok(bytes.len()));
    bytes
}

macro_rules! samples {
    ($($rule:literal: $type:ty = $value:expr;)*) => {
        vec![$(Sample {
            rule: $rule,
            bytes: {
                let value: $type = $value;
                let bytes = encoded(&value);
                assert_eq!(decode::<$type>(&bytes), Ok(value), "{}", $rule);
                bytes
            },
            again: |bytes| decode::<$type>(bytes).map(|message| encoded(&message)),
        }),*]
    };
}

pub fn id(len: usize) -> DeviceId {
    DeviceId::new(&vec![VARIABLE; len]).expect("valid")
}

/// An item of every kind, one of an unknown kind in arrays as deep as they may be, and one of each other unknown shape.
pub fn inbox(next: Option<NextAttach>) -> Vec<u8> {
    let sealed = &[VARIABLE; 30][..];
    let handle = Handle([FIXED; 4]);
    let bodies = [
        (kind::INVITATION, encoded(&invitation())),
        (kind::AGREED, encoded(&AgreedItem { handle, nonce_g: [FIXED; 8], sealed })),
        (kind::NOT_AGREED, encoded(&NotAgreedItem { handle, sealed })),
        (kind::WANTED, encoded(&WantedItem { handle, run: 1, sealed })),
        (kind::KEY, encoded(&KeyItem { handle, run: 70_000, sealed })),
        (
            kind::MESSAGE,
            encoded(&MessageItem { handle, run: 1, sequence: 2, ciphertext: &[VARIABLE; 300], salt: None }),
        ),
        (kind::EXPIRED, encoded(&ExpiredItem { handle, run: 1, sequence: 2 })),
        (kind::PACKAGE, encoded(&package(Profile::Compact, &[VARIABLE; 32]))),
        (kind::ENDED, encoded(&EndedItem { handle, reason: EndedItem::REVOKED })),
        (10, vec![0x82, 0x82, 0x80, 0x19, 0x12, 0x34, 0x41, VARIABLE]),
        (11, vec![0x61, b'a']),
        (u32::MAX, vec![0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (kind::VOID, vec![0x80]),
    ];
    let mut buf = vec![0; 2_000];
    let mut writer = ItemsWriter::new(&mut buf, 1_000);
    for (number, (kind, body)) in (20..).step_by(3).zip(bodies) {
        assert!(writer.push(number, kind, &body));
    }
    let len = writer.finish(next);
    buf.truncate(len);
    buf
}

fn invitation() -> InvitationItem {
    InvitationItem {
        handle: Handle([FIXED; 4]),
        nonce_i: [FIXED; 8],
        nonce_g: [FIXED; 8],
        peer_key: [FIXED; 16],
        id_i: id(3),
        suite: Suite::Ascon128,
    }
}

pub fn next() -> NextAttach {
    NextAttach { ticket: [FIXED; 16], generation: [FIXED; 4] }
}

fn package(profile: Profile, public_key: &[u8]) -> Package<'_> {
    Package { profile, public_key, gateway_id: id(7), suites: SuiteSet::ALL, policy: Policy::List }
}

fn registration(proof: Proof) -> RegisterSecret {
    RegisterSecret {
        registered_key: [FIXED; 32],
        suite: Suite::AesCcm8,
        suites: SuiteSet::of(&[Suite::AesCcm8]),
        proof,
    }
}

pub fn samples() -> Vec<Sample> {
    let mut all = before_session();
    all.extend(session());
    all
}

fn before_session() -> Vec<Sample> {
    let sealed = &[VARIABLE; 30][..];
    let key = &[FIXED; 384][..];
    let ticket = [FIXED; 16];
    let nonce = [FIXED; 8];
    let (notification, answer) = (inbox(None), inbox(Some(next())));
    samples! {
        "package": Package<'_> = package(Profile::Classic, &key[..256]);
        "package": Package<'_> = package(Profile::Compact, &key[..32]);
        "package": Package<'_> = package(Profile::Classic3072, key);
        "pin-input": PinInput<'_> = PinInput { profile: Profile::Classic, public_key: &key[..256] };
        "pin-input": PinInput<'_> = PinInput { profile: Profile::Compact, public_key: &key[..32] };
        "pin-input": PinInput<'_> = PinInput { profile: Profile::Classic3072, public_key: key };
        "register": Register<'_> = Register { sealed_key: &[VARIABLE; 447], sealed_id: sealed };
        "register-secret": RegisterSecret = registration(Proof::None);
        "register-secret": RegisterSecret = registration(Proof::Enrolment([FIXED; 16]));
        "register-secret": RegisterSecret = registration(Proof::Rotation([FIXED; 16]));
        "sealed-id": SealedId = SealedId(id(3));
        "registered": Registered<'_> = Registered { nonce, sealed };
        "grant": Grant = Grant { ticket, attach_number: 24, request_number: 0, generation: [FIXED; 4] };
        "attach": Attach<'_> = Attach { ticket, nonce, sealed };
        "attach-secret": AttachSecret =
            AttachSecret { attach_number: 25, cursor: 70_000, generation: [FIXED; 4], accept: Accept::Known };
        "inbox": Inbox<'_> = Inbox { counter: 300, sealed: &[VARIABLE; 300] };
        "inbox-secret": InboxSecret<'_> = InboxSecret { items: Items::EMPTY, next: None };
        "inbox-secret": InboxSecret<'_> = InboxSecret { items: Items::EMPTY, next: Some(next()) };
        "inbox-secret": InboxSecret<'_> = decode(&notification).expect("valid");
        "inbox-secret": InboxSecret<'_> = decode(&answer).expect("valid");
        "ack": Ack<'_> = Ack { ticket, counter: 1, sealed };
        "ack-secret": AckSecret = AckSecret { cursor: u32::MAX };
        "msg-post": MsgPost<'_> = MsgPost::Ack(Ack { ticket, counter: 1, sealed });
    }
}

fn session() -> Vec<Sample> {
    let sealed = &[VARIABLE; 30][..];
    let handle = Handle([FIXED; 4]);
    let (nonce, tag) = ([FIXED; 8], [FIXED; 8]);
    let post =
        MessagePost { handle, run: 1, sequence: 1_048_575, ciphertext: &[VARIABLE; 300], hop_tag: tag, salt: None };
    let salted = MessagePost { salt: Some([FIXED; 8]), ..post };
    let half = Half { handle, run: u32::MAX, body: &[VARIABLE; limits::HALF_BODY_LEN_MAX], salt: None };
    let item = MessageItem { handle, run: 65_536, sequence: 0, ciphertext: &[VARIABLE; 8], salt: None };
    let a1 = A1 {
        request_number: 5,
        nonce_i: nonce,
        masked: [FIXED; 16],
        id_i: id(1),
        id_j: id(16),
        suite: Suite::ChaCha20Poly1305,
        tag,
    };
    let a3 = A3 { handle, nonce_g: nonce, nonce_j: nonce, masked: [FIXED; 16], suite: Some(Suite::AesCcm16), tag };
    let half2048 = HalfClassic { sealed_element: &[FIXED; 264], trapdoor: &[FIXED; 288], tag: [FIXED; 16] };
    let half3072 = HalfClassic { sealed_element: &[FIXED; 400], trapdoor: &[FIXED; 416], tag: [FIXED; 16] };
    let element = &[FIXED; 384][..];
    samples! {
        "a1": A1 = a1;
        "a3": A3 = a3;
        "a3": A3 = A3 { suite: None, ..a3 };
        "negotiate-secret": NegotiateSecret = NegotiateSecret::Invite(a1);
        "negotiate-secret": NegotiateSecret = NegotiateSecret::Reply(a3);
        "sealed": Sealed<'_> = Sealed(sealed);
        "tag8": Tag8 = Tag8(tag);
        "handle-plain": HandlePlain = HandlePlain(handle);
        "a1-refusal": A1Refusal = A1Refusal { reason: A1Reason::MailboxFull, detail: 600 };
        "a4-secret": A4Secret = A4Secret { nonce_j: nonce, peer_key: [FIXED; 16] };
        "a4-reason": A4Reason = A4Reason::Withdrawn;
        "half": Half<'_> = half;
        "half": Half<'_> = Half { salt: Some([FIXED; 8]), ..half };
        "half-compact": HalfCompact<'_> = HalfCompact { element: &element[..32], tag };
        "half-classic": HalfClassic<'_> = half2048;
        "half-classic": HalfClassic<'_> = half3072;
        "wanted": Wanted = Wanted;
        "b-refusal": BRefusal = BRefusal { reason: BReason::Closed, run: 0 };
        "b6-secret": B6Secret<'_> = B6Secret { element: &element[..256], peer_hash: [FIXED; 16], tag };
        "b6-secret": B6Secret<'_> = B6Secret { element: &element[..32], peer_hash: [FIXED; 16], tag };
        "b6-secret": B6Secret<'_> = B6Secret { element, peer_hash: [FIXED; 16], tag };
        "confirmation": Confirmation = Confirmation { last: 0 };
        "message-post": MessagePost<'_> = post;
        "message-post": MessagePost<'_> = salted;
        "msg-post": MsgPost<'_> = MsgPost::Message(post);
        "msg-post": MsgPost<'_> = MsgPost::Message(salted);
        "invitation-item": InvitationItem = invitation();
        "agreed-item": AgreedItem<'_> = AgreedItem { handle, nonce_g: nonce, sealed };
        "not-agreed-item": NotAgreedItem<'_> = NotAgreedItem { handle, sealed };
        "wanted-item": WantedItem<'_> = WantedItem { handle, run: 24, sealed };
        "key-item": KeyItem<'_> = KeyItem { handle, run: 256, sealed };
        "message-item": MessageItem<'_> = item;
        "message-item": MessageItem<'_> = MessageItem { sequence: 1, salt: Some([FIXED; 8]), ..item };
        "expired-item": ExpiredItem = ExpiredItem { handle, run: 1, sequence: 23 };
        "ended-item": EndedItem = EndedItem { handle, reason: EndedItem::REVOKED };
    }
}

/// One CBOR item within a message.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub start: usize,
    /// Where the head ends.
    pub content: usize,
    /// Where the item ends, what is in it included.
    pub end: usize,
    pub major: u8,
    pub argument: u64,
}

/// All items of a message, outer before inner.
pub fn parts(bytes: &[u8]) -> Vec<Part> {
    let mut all = Vec::new();
    assert_eq!(walk(bytes, 0, &mut all), bytes.len());
    all
}

fn walk(bytes: &[u8], start: usize, all: &mut Vec<Part>) -> usize {
    let (major, info) = (bytes[start] >> 5, bytes[start] & 31);
    let width = if info < 24 { 0 } else { 1 << (info - 24) };
    let content = start + 1 + width;
    let argument = bytes[start + 1..content].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let argument = if width == 0 { u64::from(info) } else { argument };
    let index = all.len();
    all.push(Part { start, content, end: content, major, argument });
    let mut end = content;
    match major {
        0 => {}
        2 | 3 => end += argument as usize,
        4 => (0..argument).for_each(|_| end = walk(bytes, end, all)),
        _ => panic!("not in SGA/1"),
    }
    all[index].end = end;
    end
}

/// The message with a part of it replaced.
pub fn replaced(bytes: &[u8], start: usize, end: usize, with: &[u8]) -> Vec<u8> {
    [&bytes[..start], with, &bytes[end..]].concat()
}

/// A head with an argument in so many bytes after the first.
pub fn head(major: u8, argument: u64, width: usize) -> Vec<u8> {
    let info = match width {
        0 => argument as u8,
        1 => 24,
        2 => 25,
        4 => 26,
        _ => 27,
    };
    [&[major << 5 | info][..], &argument.to_be_bytes()[8 - width..]].concat()
}

/// The shortest head.
pub fn short_head(major: u8, argument: u64) -> Vec<u8> {
    let width = match argument {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    head(major, argument, width)
}
