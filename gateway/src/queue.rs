//! What is handed to a thread: so much at a time, so that the rest waits where it is bounded.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::error::Error;

/// One end of a queue to threads whose outcomes come back by another way.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    to: Option<SyncSender<T>>,
    /// Handed over, and the outcome not taken in yet.
    in_hand: usize,
    max: usize,
}

/// A queue, and the end of it that threads have.
pub(crate) fn queue<T>(max: usize) -> (Queue<T>, Receiver<T>) {
    let (to, from) = sync_channel(max);
    (Queue { to: Some(to), in_hand: 0, max }, from)
}

impl<T> Queue<T> {
    /// Hands over as much as there is room for. The rest is asked for again when outcomes have made room: whoever sends one wakes
    /// the loop.
    ///
    /// # Errors
    /// Nobody is left to do it.
    pub(crate) fn fill(&mut self, mut next: impl FnMut() -> Option<T>) -> Result<(), Error> {
        while self.in_hand < self.max {
            let Some(what) = next() else { break };
            // What is in the queue is in hand, so that there is room.
            match self.to.as_ref().map(|to| to.try_send(what)) {
                Some(Ok(())) => self.in_hand += 1,
                Some(Err(TrySendError::Full(_))) => return Err(Error::new("a queue holds more than was put in")),
                Some(Err(TrySendError::Disconnected(_))) | None => {
                    return Err(Error::new("a thread of the gateway has stopped"));
                }
            }
        }
        Ok(())
    }

    /// An outcome was taken in.
    pub(crate) fn taken(&mut self) {
        self.in_hand = self.in_hand.saturating_sub(1);
    }

    /// Nothing more comes; the threads end with what they have.
    pub(crate) fn close(&mut self) {
        self.to = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_so_much_and_again_when_something_is_done() {
        let (mut queue, from) = queue(3);
        let mut waiting = 0..5;
        queue.fill(|| waiting.next()).expect("somebody is there");
        assert_eq!(from.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        queue.fill(|| waiting.next()).expect("it is full, which is no error");
        assert_eq!(from.try_iter().count(), 0, "what a thread has in hand counts");
        queue.taken();
        queue.fill(|| waiting.next()).expect("somebody is there");
        assert_eq!(from.try_iter().collect::<Vec<_>>(), [3]);
        (0..3).for_each(|_| queue.taken());
        queue.fill(|| waiting.next()).expect("somebody is there");
        assert_eq!(from.try_iter().collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_thread_that_has_ended_is_an_error() {
        let (mut queue, from) = queue(1);
        drop(from);
        assert!(queue.fill(|| Some(1)).is_err());
    }
}
