//! Negotiation, key exchange and messages (4.3–4.5; `docs/protocol.md` §5–§7).

use core::fmt;

use minicbor::data::Type;
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use crate::codec::{EncodeError, Field, array_message, bare_message};
use crate::limits::{CIPHERTEXT_LEN_MAX, ELEMENT_LEN_MAX, HALF_BODY_LEN_MAX, SEQUENCE_MAX, TRAPDOOR_LEN_MAX};
use crate::{A1Reason, A4Reason, Ack, BReason, DeviceId, Handle, Message, SchemaError, Suite};

/// One bare byte string: A1 and A3 as requests, B6, sealed answers and refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'a>(pub &'a [u8]);

impl<'a> Message<'a> for Sealed<'a> {
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        self.0.put(e)
    }

    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        <&[u8]>::get(d).map(Self)
    }
}

/// One bare keyed hash: the answers to A3, to a Half that waits, and to a Message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag8(pub [u8; 8]);

/// The plaintext of the answer to A1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandlePlain(pub Handle);

/// The plaintext of B2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted;

bare_message! {
    Tag8, [u8; 8], |message| message.0, |tag| Some(Tag8(tag));
    HandlePlain, Handle, |message| message.0, |handle| Some(HandlePlain(handle));
    Wanted, u32, |_| 1, |value| (value == 1).then_some(Wanted);
    A4Reason, A4Reason, |reason| *reason, Some;
}

array_message! {
    /// A1 inside its `pk(…)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    A1 = 1 {
        /// Rises.
        request_number: u32,
        /// n_i.
        nonce_i: [u8; 8],
        /// k_t^i under its pad.
        masked: [u8; 16],
        /// Who invites.
        id_i: DeviceId,
        /// Who is invited.
        id_j: DeviceId,
        /// cid.
        suite: Suite,
        /// f8 under k_di over all of it.
        tag: [u8; 8],
    }
}

array_message! {
    /// A3 inside its `pk(…)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    A3 = 3 {
        /// From A2.
        handle: Handle,
        /// n_G, from A2.
        nonce_g: [u8; 8],
        /// n_j.
        nonce_j: [u8; 8],
        /// k_t^j under its pad.
        masked: [u8; 16],
        /// cid as in A2; none to refuse.
        suite: Option<Suite>,
        /// f8 under k_dj over all of it.
        tag: [u8; 8],
    }
}

/// What is inside a `pk(…)` at `/negotiate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NegotiateSecret {
    /// A1.
    Invite(A1),
    /// A3.
    Reply(A3),
}

impl<'a> Message<'a> for NegotiateSecret {
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::Invite(a1) => a1.encode_to(e),
            Self::Reply(a3) => a3.encode_to(e),
        }
    }

    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        let mut look = d.clone();
        look.array()?;
        match u32::get(&mut look)? {
            1 => A1::decode_from(d).map(Self::Invite),
            3 => A3::decode_from(d).map(Self::Reply),
            _ => Err(SchemaError::OutOfRange),
        }
    }
}

array_message! {
    /// The plaintext of a refused A1.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    A1Refusal {
        /// Why.
        reason: A1Reason,
        /// The common set, or seconds; else 0.
        detail: u32,
    }
}

array_message! {
    /// The plaintext of A4.
    #[derive(Clone, Copy, PartialEq, Eq)]
    A4Secret {
        /// n_j.
        nonce_j: [u8; 8],
        /// peer(k_t^j).
        peer_key: [u8; 16],
    }
}

impl fmt::Debug for A4Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("A4Secret(redacted)")
    }
}

array_message! {
    /// B1 and B3.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Half<'a> {
        /// The sender's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// A sealed [`HalfCompact`] or [`HalfClassic`].
        body: &'a [u8],
    } | |half| half.run > 0 && half.body.len() <= HALF_BODY_LEN_MAX
}

array_message! {
    /// Inside a Half, compact.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    HalfCompact<'a> {
        /// N.
        element: &'a [u8],
        /// f8 under K.
        tag: [u8; 8],
    } | |half| half.element.len() == 32
}

array_message! {
    /// Inside a Half, classic.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    HalfClassic<'a> {
        /// E, N under its pad, sealed.
        sealed_element: &'a [u8],
        /// F_G(r).
        trapdoor: &'a [u8],
        /// f under K.
        tag: [u8; 16],
    } | |half| half.sealed_element.len() <= ELEMENT_LEN_MAX + 16 && half.trapdoor.len() <= TRAPDOOR_LEN_MAX
}

array_message! {
    /// The plaintext of a refused Half.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    BRefusal {
        /// Why.
        reason: BReason,
        /// The current run, or the one that failed.
        run: u32,
    }
}

array_message! {
    /// The plaintext of B6.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    B6Secret<'a> {
        /// Y.
        element: &'a [u8],
        /// h(N of the peer).
        peer_hash: [u8; 16],
        /// f8 under K.
        tag: [u8; 8],
    } | |secret| secret.element.len() <= ELEMENT_LEN_MAX
}

array_message! {
    /// A Message on its way to the gateway.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    MessagePost<'a> {
        /// The sender's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// From 0.
        sequence: u32,
        /// The text, sealed for the peer.
        ciphertext: &'a [u8],
        /// f8 under the hop key.
        hop_tag: [u8; 8],
    } | |post| post.run > 0 && post.sequence <= SEQUENCE_MAX && post.ciphertext.len() <= CIPHERTEXT_LEN_MAX
}

array_message! {
    /// The plaintext of message 0.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Confirmation {
        /// The last sequence of the previous run that the gateway has confirmed.
        last: u32,
    }
}

/// What is posted to `/msg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsgPost<'a> {
    /// Three elements.
    Ack(Ack<'a>),
    /// Five elements.
    Message(MessagePost<'a>),
}

impl<'a> Message<'a> for MsgPost<'a> {
    fn encode_to<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::Ack(ack) => ack.encode_to(e),
            Self::Message(post) => post.encode_to(e),
        }
    }

    fn decode_from(d: &mut Decoder<'a>) -> Result<Self, SchemaError> {
        let mut look = d.clone();
        if look.datatype()? != Type::Array {
            return Err(SchemaError::Malformed);
        }
        match look.array()? {
            Some(3) => Ack::decode_from(d).map(Self::Ack),
            Some(5) => MessagePost::decode_from(d).map(Self::Message),
            _ => Err(SchemaError::Malformed),
        }
    }
}
