//! The store on a disk that loses power and changes what it holds: it always opens, in bounded work, never shows what was not
//! stored, and tells of what is missing.

mod case;
mod damage;

use sga_gateway_core::{Change, Commit, Key, StoredItem};
use sga_schema::Handle;

use self::case::Case;
use super::Reached;
use super::reader::Reader;
use crate::sim::disk::Fate;
use crate::sim::model::{DEVICES, MAILBOXES};

const STEPS_MAX: usize = 40;
/// Openings of one run, each of which reads everything; what is left of the input is not read then.
const OPENINGS_MAX: usize = 8;

/// Reads what happens from `data`, and does it to a store.
///
/// # Panics
/// Something that must hold did not.
pub fn recovery(data: &[u8]) -> Reached {
    run(data, u64::MAX)
}

/// The same with tables that are taken for long ones, which are not read through at a start. For replaying what has been mended, not for
/// fuzzing: a write into tables whose damage nobody has seen yet can make the engine end the process, which no test survives.
///
/// # Panics
/// Something that must hold did not.
pub fn recovery_unread(data: &[u8]) -> Reached {
    run(data, 0)
}

fn run(data: &[u8], check_bytes: u64) -> Reached {
    let mut reader = Reader::new(data);
    let mut case = Case::at_stage(reader.byte(), check_bytes);
    for _ in 0..STEPS_MAX {
        if reader.is_empty() || case.openings > OPENINGS_MAX {
            break;
        }
        step(&mut case, &mut reader);
    }
    case.reopen();
    case.reopen();
    case.reached
}

fn step(case: &mut Case, reader: &mut Reader<'_>) {
    match reader.byte() & 15 {
        0..=3 => {
            for _ in 0..=reader.byte() & 7 {
                let group = group(case, reader);
                case.apply(&group);
            }
        }
        4 => case.close(),
        5 | 6 => {
            let fate = reader.byte();
            case.cut(match fate & 3 {
                0 => Fate::Dropped,
                1 => Fate::Kept,
                _ => Fate::Torn(fate.into()),
            });
        }
        7 => case.stop_after(1 + u64::from(reader.byte() & 31)),
        8..=11 => case.damage(reader),
        12 => case.back_up(),
        13 => case.restore(reader),
        14 => case.examine(),
        _ => case.reopen(),
    }
}

/// A panic of a thread that is reading a damaged file is an answer like any other, and no news. For fuzzers, whose own hook would end
/// the process.
pub fn keep_quiet_where_guarded() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !sga_gateway_store::is_guarded() {
            usual(info);
        }
    }));
}

/// Commits like the gateway's.
fn group(case: &mut Case, reader: &mut Reader<'_>) -> Vec<Commit> {
    let choice = reader.byte();
    let commits = 1 + choice % 3;
    (0..commits.into())
        .map(|id| Commit { id, changes: (0..=choice >> 6).map(|_| change(case, reader)).collect() })
        .collect()
}

fn change(case: &mut Case, reader: &mut Reader<'_>) -> Change {
    let choice = reader.byte();
    let mailbox = u32::from(choice >> 4) % MAILBOXES;
    let some = u32::from(reader.byte()) % (case.numbers[mailbox as usize] + 1);
    match choice & 15 {
        0..=6 => {
            let number = case.next_number(mailbox);
            Change::Append {
                mailbox,
                item: StoredItem { number, kind: 6, body: case.bytes(reader), stored_s: number.into() },
            }
        }
        7..=9 => Change::Put { key: Key::Device(some % DEVICES), value: case.bytes(reader) },
        10 => Change::Put { key: Key::Leg(Handle((some % DEVICES).to_be_bytes())), value: case.bytes(reader) },
        11 => Change::Delete(Key::Leg(Handle((some % DEVICES).to_be_bytes()))),
        12 => Change::Delete(Key::Item { mailbox, number: some }),
        13 => Change::Void { mailbox, number: some },
        _ => Change::Acknowledge { mailbox, up_to: some },
    }
}
