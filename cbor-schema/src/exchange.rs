//! Key exchange (the paper's 4.4, steps B1–B7; `docs/protocol.md` §6) and messages (4.5; §7).

use core::fmt;

use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use crate::bodies::sequence_fits;
use crate::field::{array_message, bare_message};
use crate::limits::{CIPHERTEXT_LEN_MAX, HALF_BODY_LEN_MAX, SEED_LEN, SEQUENCE_MAX};
use crate::{Ack, BReason, EncodeError, Handle, Message, Profile, SchemaError, Suite};

array_message! {
    /// B1 and B3: `[handle bstr4, run, body bstr]`, or with a salt behind it, bstr8 (§6).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Half<'a> {
        /// The sender's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// A sealed [`HalfCompact`] or [`HalfClassic`].
        body: &'a [u8],
    } optional {
        /// Of the sender's life, if k_t is from an earlier one.
        salt: [u8; 8],
    } | |half| half.run > 0 && half.body.len() <= HALF_BODY_LEN_MAX
}

array_message! {
    /// Inside a Half of the compact profile: `[N bstr32, tag bstr8]` (§6).
    #[derive(Clone, Copy, PartialEq, Eq)]
    HalfCompact<'a> {
        /// N, the ephemeral element.
        element: &'a [u8],
        /// f8 under K' over role, run, th_A, N, F.
        tag: [u8; 8],
    } | |half| half.element.len() == Profile::Compact.element_len()
}

impl fmt::Debug for HalfCompact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HalfCompact(redacted)")
    }
}

array_message! {
    /// Inside a Half of the classic profiles: `[E bstr, F bstr, tag bstr16]` (§6).
    ///
    /// E is an element and the tag of a suite, F an element and a seed, both of one profile.
    #[derive(Clone, Copy, PartialEq, Eq)]
    HalfClassic<'a> {
        /// E: N under its pad, sealed under k_d.
        sealed_element: &'a [u8],
        /// F_G(r).
        trapdoor: &'a [u8],
        /// f under K' over role, run, th_A, N, F.
        tag: [u8; 16],
    } | |half| [Profile::Classic, Profile::Classic3072].into_iter().any(|profile| half.fits(profile))
}

impl HalfClassic<'_> {
    fn fits(&self, profile: Profile) -> bool {
        let sealed_len = |suite: Suite| profile.element_len() + suite.tag_len();
        self.trapdoor.len() == profile.element_len() + SEED_LEN
            && Suite::ALL.into_iter().any(|suite| self.sealed_element.len() == sealed_len(suite))
    }
}

impl fmt::Debug for HalfClassic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HalfClassic {{ redacted, trapdoor: {} bytes }}", self.trapdoor.len())
    }
}

/// The plaintext of B2: the bare uint 1 (§6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted;

bare_message! {
    Wanted, u32, |_| 1, |value| (value == 1).then_some(Wanted);
}

array_message! {
    /// The plaintext of a refused Half: `[reason, run]` (§6).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    BRefusal {
        /// Why.
        reason: BReason,
        /// `Closed`: the current run, 0 if there was none. `Failed`: the one that failed.
        run: u32,
    }
}

array_message! {
    /// The plaintext of B6: `[Y bstr, h(N of the peer) bstr16, tag bstr8]` (§6).
    #[derive(Clone, Copy, PartialEq, Eq)]
    B6Secret<'a> {
        /// Y, as long as an element of a profile.
        element: &'a [u8],
        /// h(N of the peer).
        peer_hash: [u8; 16],
        /// f8 under K' over role, run, th_B, Y.
        tag: [u8; 8],
    } | |secret| Profile::ALL.into_iter().any(|profile| secret.element.len() == profile.element_len())
}

impl fmt::Debug for B6Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("B6Secret(redacted)")
    }
}

array_message! {
    /// A Message on its way to the gateway: `[handle bstr4, run, sequence, ciphertext bstr, hop bstr8]`, or with a salt behind
    /// it, bstr8; never message 0 (§7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    MessagePost<'a> {
        /// The sender's leg.
        handle: Handle,
        /// From 1.
        run: u32,
        /// From 0.
        sequence: u32,
        /// c_i: the text, sealed for the peer.
        ciphertext: &'a [u8],
        /// f8 under the hop key over all of it.
        hop_tag: [u8; 8],
    } optional {
        /// Of the sender's life, if the run's keys are from an earlier one.
        salt: [u8; 8],
    } | |post| {
        post.run > 0
            && sequence_fits(post.sequence, post.salt.as_ref())
            && post.ciphertext.len() <= CIPHERTEXT_LEN_MAX
    }
}

array_message! {
    /// The plaintext of message 0: `[last]` (§6, "Confirmation").
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Confirmation {
        /// The highest sequence under the previous run that the gateway has confirmed, 0 if none.
        last: u32,
    } | |confirmation| confirmation.last <= SEQUENCE_MAX
}

/// What is posted to `/msg`; the number of elements says which (§4, §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsgPost<'a> {
    /// Three elements.
    Ack(Ack<'a>),
    /// Five elements, or six.
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
        match d.clone().array()? {
            Some(3) => Ack::decode_from(d).map(Self::Ack),
            Some(5 | 6) => MessagePost::decode_from(d).map(Self::Message),
            _ => Err(SchemaError::Malformed),
        }
    }
}
