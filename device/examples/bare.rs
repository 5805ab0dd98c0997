//! The whole device for one number of peers and one generator, as a library without std: what `tests/no_alloc.rs` looks
//! through for calls of an allocator, and the loop of a shell in its shortest form.
#![no_std]
#![forbid(unsafe_code)]

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use sga_device::{Accept, Device, DeviceError, DeviceId, Event, Outgoing, Secret, SnapshotError, Suite, SuiteSet};

/// Stands for a hardware generator.
#[derive(Debug)]
pub struct Hardware(u64);

impl TryRng for Hardware {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|word| word as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.try_next_u64()? as u8;
        }
        Ok(())
    }
}

impl TryCryptoRng for Hardware {}

/// A device for two peers.
pub type Node = Device<2>;

/// A new one.
///
/// # Errors
/// [`DeviceError`].
pub fn start(id: DeviceId, key: Secret<32>) -> Result<Node, DeviceError> {
    let mut node = Node::new(id, key, Suite::AesCcm8, SuiteSet::ALL, Accept::All)?;
    node.register();
    Ok(node)
}

/// Saves and restores.
///
/// # Errors
/// [`SnapshotError`].
pub fn keep(node: &mut Node, rng: &mut Hardware, flash: &mut [u8]) -> Result<Node, SnapshotError> {
    let len = node.snapshot(flash)?;
    node.saved();
    Node::restore(flash.get(..len).unwrap_or_default(), rng)
}

/// The next request.
///
/// # Errors
/// [`DeviceError`].
pub fn next(node: &mut Node, rng: &mut Hardware, buf: &mut [u8]) -> Result<Option<Outgoing>, DeviceError> {
    node.poll_request(rng, buf)
}

/// What arrived.
pub fn arrived(node: &mut Node, code: Option<u8>, payload: &mut [u8]) -> usize {
    let mut texts = 0;
    let mut sink = |event: Event<'_>| texts += usize::from(matches!(event, Event::Text { .. }));
    match code {
        Some(code) => {
            let _ = node.handle_response(code, payload, &mut sink);
        }
        None => node.handle_notification(payload, &mut sink),
    }
    texts
}

/// What the application asks for.
///
/// # Errors
/// [`DeviceError`].
pub fn ask(node: &mut Node, peer: DeviceId, text: &[u8], buf: &mut [u8]) -> Result<usize, DeviceError> {
    node.attach(true);
    node.connect(peer, None)?;
    node.rekey(peer)?;
    node.set_pair_secret(peer, None)?;
    node.set_enrolment(text)?;
    node.handle_failure();
    let sealed = node.send(peer, text, buf)?;
    node.abandon(peer);
    Ok(sealed.len + node.sessions().count())
}
