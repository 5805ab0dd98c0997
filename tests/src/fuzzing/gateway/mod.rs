//! The gateway's core among devices that behave, a network that does not, a store that fails, and an outsider.

mod ledger;
mod network;
mod sealed;
mod world;

use std::time::Duration;

use sga_device::Accept;
use sga_device::agent::Image;

use self::network::{Armed, Fault};
use self::world::{DEVICES, World, id, outsider};
use super::Reached;
use super::reader::Reader;
use crate::sim::Datagram;

const STEPS_MAX: usize = 100;
/// Datagrams and wakings of one run; what is left of the input is not read then.
const WORK_MAX: usize = 6_000;
/// Milliseconds: a round trip, time-outs of the message layer, the refresh, invitations that run out.
const TIMES: [u64; 12] = [1, 5, 20, 100, 1_000, 3_000, 7_000, 25_000, 31_000, 100_000, 700_000, 3_700_000];
/// Lengths of texts: none, one that fits a frame, one that fits a block, some that do not.
const LENGTHS: [usize; 8] = [0, 8, 16, 24, 200, 1_000, 1_100, 3_000];
/// Older images of each device that are kept.
const COPIES_MAX: usize = 4;

/// Reads what happens from `data`, and does it to a gateway and three devices.
///
/// # Panics
/// Something that must hold did not.
pub fn gateway(data: &[u8]) -> Reached {
    let mut reader = Reader::new(data);
    let stage = reader.byte();
    let mut run = Run { world: World::at_stage(stage), copies: Default::default(), reached: Reached::new() };
    for _ in 0..STEPS_MAX {
        if reader.is_empty() || run.world.work > WORK_MAX {
            break;
        }
        run.step(&mut reader);
        run.world.check();
    }
    run.end()
}

struct Run {
    world: World,
    copies: [Vec<Image>; DEVICES],
    reached: Reached,
}

fn milliseconds(reader: &mut Reader<'_>) -> Duration {
    Duration::from_millis(reader.pick(&TIMES))
}

/// Two devices, not the same one.
fn way(reader: &mut Reader<'_>) -> (usize, usize) {
    let choice = usize::from(reader.byte());
    let from = choice % DEVICES;
    (from, (from + 1 + (choice >> 4) % (DEVICES - 1)) % DEVICES)
}

impl Run {
    fn step(&mut self, reader: &mut Reader<'_>) {
        let Self { world, .. } = self;
        match reader.byte() & 31 {
            0..=4 => world.run(milliseconds(reader)),
            5..=7 => {
                let way = way(reader);
                let choice = reader.byte();
                for _ in 0..=(choice >> 5) {
                    world.text(way, LENGTHS[usize::from(choice & 7)]);
                }
            }
            8 | 9 => world.want(way(reader)),
            10 | 11 => {
                let (one, other) = way(reader);
                let both = reader.flag();
                // Without a session there is nothing to renew.
                let mut done = world.devices[one].device_mut().rekey(id(other)).is_ok();
                done |= both && world.devices[other].device_mut().rekey(id(one)).is_ok();
                if done {
                    self.reached.insert("rekey");
                }
            }
            12 => self.ask_device(reader),
            13..=16 => self.arm(reader),
            17 => world.network.lossy = Some(reader.byte() & 15).filter(|one_in| *one_in > 1),
            18..=20 => self.replay(reader),
            21 => self.outsider_says(reader),
            22 => {
                let at = reader.index(DEVICES);
                world.devices[at].restart(world.now, &mut world.rng);
                self.reached.insert("device restart");
            }
            23 => {
                world.gateway.crash();
                self.reached.insert("gateway restart");
            }
            // Everything is late: the machine slept.
            24 => world.now += milliseconds(reader),
            25 | 26 => {
                let choice = reader.byte();
                let trouble = &mut world.gateway.trouble;
                trouble.full = choice & 1 == 1;
                (trouble.commits, trouble.loads) = (u32::from(choice >> 5), u32::from(choice >> 2 & 3));
                self.reached.insert("store trouble");
            }
            27 => self.copy_or_set_back(reader),
            28 if reader.byte() & 7 == 0 => {
                world.gateway.trouble.damage = Some((usize::from(reader.u16()), reader.byte()));
                world.poisoned = true;
                self.reached.insert("damaged record");
            }
            _ => self.replay_many(reader),
        }
    }

    fn ask_device(&mut self, reader: &mut Reader<'_>) {
        let (at, peer) = way(reader);
        let device = self.world.devices[at].device_mut();
        match reader.byte() & 7 {
            0 => device.set_accept(Accept::None),
            1 => device.set_accept(Accept::Known),
            2 => device.set_accept(Accept::All),
            3 => device.register(),
            4 => device.attach(reader.flag()),
            5 => device.abandon(id(peer)),
            6 => {
                let _ = device.connect(id(peer), reader.flag().then_some(sga_device::Suite::ChaCha20Poly1305));
            }
            _ => self.world.devices[at].sends_lost_again ^= true,
        }
    }

    fn choices(reader: &mut Reader<'_>) -> [u8; 6] {
        core::array::from_fn(|_| reader.byte())
    }

    fn arm(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.byte();
        let devices = &self.world.devices;
        let whose = devices.get(usize::from(choice & 3)).map_or(self.world.gateway.address, |node| node.address);
        let fault = match reader.byte() & 7 {
            0 => Fault::Lose,
            1 => Fault::Double,
            2 => Fault::Late(milliseconds(reader)),
            3 | 4 => Fault::Bend(Self::choices(reader)),
            5 | 6 => Fault::BendCopy(Self::choices(reader)),
            _ => Fault::Moved(outsider(reader.byte())),
        };
        self.world.network.arm(Armed { whose, to_gateway: choice & 4 == 0, skip: choice >> 3, fault });
    }

    /// Something from the tape once more, as it was or changed, from where it came or from elsewhere.
    fn replay(&mut self, reader: &mut Reader<'_>) {
        let choice = reader.byte();
        let Some(mut datagram) = self.world.network.taped(usize::from(choice >> 1)).cloned() else { return };
        let how = reader.byte();
        if choice & 1 == 1 {
            datagram = self.world.network.bent(datagram, &Self::choices(reader));
        }
        match how & 7 {
            0..4 => {}
            4 => datagram.from = outsider(how >> 3),
            5 => datagram.from = self.world.devices[usize::from(how >> 3) % DEVICES].address,
            6 => datagram.to = self.world.devices[usize::from(how >> 3) % DEVICES].address,
            _ => datagram.to = self.world.gateway.address,
        }
        self.world.network.fly(self.world.now, datagram);
        self.reached.insert("replay");
    }

    fn replay_many(&mut self, reader: &mut Reader<'_>) {
        let (first, count) = (usize::from(reader.byte()), reader.byte() & 31);
        let from = reader.flag().then(|| outsider(count));
        for back in (0..usize::from(count)).rev() {
            if let Some(datagram) = self.world.network.taped(first + back) {
                let datagram = Datagram { from: from.unwrap_or(datagram.from), ..datagram.clone() };
                self.world.network.fly(self.world.now, datagram);
            }
        }
    }

    /// Bytes from nowhere.
    fn outsider_says(&mut self, reader: &mut Reader<'_>) {
        let (choice, len) = (reader.byte(), usize::from(reader.byte() & 63));
        let mut bytes = reader.bytes(len).to_vec();
        if choice & 4 != 0 {
            let path: &[u8] = [&b"register"[..], b"negotiate", b"kex", b"msg"][usize::from(choice >> 3 & 3)];
            let code = if choice & 0x20 == 0 { 2 } else { 5 };
            let message = crate::script::wire::Message {
                kind: choice >> 7,
                code,
                mid: u16::from(choice),
                token: vec![choice],
                options: vec![(11, path.to_vec())],
                payload: bytes,
            };
            bytes = message.encode();
        }
        let datagram = Datagram { from: outsider(choice), to: self.world.gateway.address, bytes };
        self.world.network.fly(self.world.now, datagram);
    }

    fn copy_or_set_back(&mut self, reader: &mut Reader<'_>) {
        let choice = usize::from(reader.byte());
        let (at, world) = (choice % DEVICES, &mut self.world);
        let copies = &mut self.copies[at];
        if choice & 0x80 == 0 {
            copies.truncate(COPIES_MAX - 1);
            copies.insert(0, world.devices[at].image.clone());
        } else if !copies.is_empty() {
            let image = copies[(choice >> 4 & 7) % copies.len()].clone();
            world.texts.set_back.insert(at);
            world.devices[at].set_back(image, world.now, &mut world.rng);
            self.reached.insert("set back");
        }
    }

    fn end(mut self) -> Reached {
        self.world.devices.iter_mut().for_each(|node| node.device_mut().set_accept(Accept::All));
        self.reached.extend(self.world.texts.is_any_through().then_some("text"));
        self.reached.extend((self.world.gateway.store.items_len() > 0).then_some("mailbox"));
        if self.world.recover() {
            self.reached.insert("recovered");
        }
        self.reached
    }
}
