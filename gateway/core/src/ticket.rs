//! Tickets: one AES block that tells the gateway which device a message is from, and tells nobody else anything.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use subtle::ConstantTimeEq;

use crate::storage::DeviceIndex;

pub(crate) struct Tickets {
    cipher: Aes128,
}

impl Tickets {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self { cipher: Aes128::new(key.into()) }
    }

    /// A ticket for a device; `serial` makes it new.
    pub(crate) fn issue(&self, device: DeviceIndex, serial: u64) -> [u8; 16] {
        let mut block = [0; 16];
        block[..4].copy_from_slice(&device.to_be_bytes());
        block[4..12].copy_from_slice(&serial.to_be_bytes());
        let mut block = block.into();
        self.cipher.encrypt_block(&mut block);
        block.into()
    }

    /// The device that a ticket locates. It proves nothing about who sent it.
    pub(crate) fn locate(&self, ticket: &[u8; 16]) -> Option<DeviceIndex> {
        let mut block = (*ticket).into();
        self.cipher.decrypt_block(&mut block);
        let block: [u8; 16] = block.into();
        let (index, rest) = block.split_first_chunk::<4>()?;
        bool::from(rest[8..].ct_eq(&[0; 4])).then(|| u32::from_be_bytes(*index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locates_what_was_issued_and_nothing_else() {
        let tickets = Tickets::new(&[7; 16]);
        let ticket = tickets.issue(42, 1);
        assert_eq!(tickets.locate(&ticket), Some(42));
        assert_ne!(ticket, tickets.issue(42, 2));
        for bit in 0..128 {
            let mut forged = ticket;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(tickets.locate(&forged), None);
        }
    }
}
