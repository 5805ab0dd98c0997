//! Negotiation (the paper's 4.3, steps A1–A5; `docs/protocol.md` §5).

use core::fmt;

use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use crate::field::{Field, array_message, bare_message};
use crate::{A1Reason, A4Reason, DeviceId, EncodeError, Handle, Message, SchemaError, Suite};

/// One bare bstr: the requests A1 and A3 (a `pk(…)` over a [`NegotiateSecret`]), B6 as an answer, sealed answers and refusals
/// (§5, §6).
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

/// One bare bstr8, a keyed hash: the answers to A3, to a Half that waits, and to a Message (§5, §6, §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag8(pub [u8; 8]);

/// The plaintext of the answer to A1: one bare bstr4 (§5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandlePlain(pub Handle);

bare_message! {
    Tag8, [u8; 8], |message| message.0, |tag| Some(Tag8(tag));
    HandlePlain, Handle, |message| message.0, |handle| Some(HandlePlain(handle));
    A4Reason, A4Reason, |reason| *reason, Some;
}

array_message! {
    /// A1 inside its `pk(…)`: `[1, request number, n_i bstr8, masked bstr16, ID_i, ID_j, cid, tag bstr8]` (§5).
    #[derive(Clone, Copy, PartialEq, Eq)]
    A1 = 1 {
        /// Rises with each new A1.
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

impl fmt::Debug for A1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "A1 {{ redacted, request_number: {}, from: {}, to: {}, suite: {} }}",
            self.request_number, self.id_i, self.id_j, self.suite
        )
    }
}

array_message! {
    /// A3 inside its `pk(…)`: `[3, handle_j bstr4, n_G bstr8, n_j bstr8, masked bstr16, cid, tag bstr8]` (§5).
    #[derive(Clone, Copy, PartialEq, Eq)]
    A3 = 3 {
        /// From A2.
        handle: Handle,
        /// n_G, from A2.
        nonce_g: [u8; 8],
        /// n_j.
        nonce_j: [u8; 8],
        /// k_t^j under its pad.
        masked: [u8; 16],
        /// cid as in A2; none (0 on the wire) to refuse.
        suite: Option<Suite>,
        /// f8 under k_dj over all of it.
        tag: [u8; 8],
    }
}

impl fmt::Debug for A3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A3 {{ redacted, handle: {}, suite: {:?} }}", self.handle, self.suite)
    }
}

/// What is inside a `pk(…)` at `/negotiate`; the first element says which (§5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NegotiateSecret {
    /// A1: the first element is 1.
    Invite(A1),
    /// A3: the first element is 3.
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
    /// The plaintext of a refused A1: `[reason, detail]` (§5).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    A1Refusal {
        /// Why.
        reason: A1Reason,
        /// `NoCommonSuite`: the bits of the common set. `MailboxFull`: seconds until worth a try. Else 0.
        detail: u32,
    }
}

array_message! {
    /// The plaintext of A4: `[n_j bstr8, peer(k_t^j) bstr16]` (§5).
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
