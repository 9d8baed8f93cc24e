//! What the harness' own server can be told to do wrong.

use clap::ValueEnum;

/// The message that a fault befalls: each of this many.
const EVERY: u64 = 50;
/// Turns of the server that a late delivery waits.
const LATE_TURNS: u64 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    None,
    Drop,
    Duplicate,
    /// A message waits until after its successor.
    Reorder,
    /// One byte of the payload changes.
    Corrupt,
    /// A message arrives a while after the publisher's PONG.
    LateDelivery,
    /// An UNSUB is never heeded.
    DeafToUnsub,
}

/// Between the broker and the peers: lets deliveries through, or not quite.
pub struct Gate {
    fault: Fault,
    delivered: u64,
    turns: u64,
    /// A delivery that waits for its successor.
    held: Option<(usize, Vec<u8>)>,
    /// Deliveries that wait for some turns.
    late: Vec<(usize, Vec<u8>)>,
}

impl Gate {
    pub fn new(fault: Fault) -> Self {
        Self { fault, delivered: 0, turns: 0, held: None, late: Vec::new() }
    }

    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    pub fn hears_unsub(&self) -> bool {
        self.fault != Fault::DeafToUnsub
    }

    /// The last delivery of `out`, which begins at `from`, has just been appended for `to`.
    pub fn pass(&mut self, to: usize, out: &mut Vec<u8>, from: usize) {
        self.delivered += 1;
        let is_due = self.delivered.is_multiple_of(EVERY);
        match self.fault {
            Fault::LateDelivery => self.late.push((to, out.split_off(from))),
            Fault::Drop if is_due => out.truncate(from),
            Fault::Duplicate if is_due => out.extend_from_within(from..),
            Fault::Corrupt if is_due => {
                // The last byte of the payload stands before its CRLF.
                let at = out.len() - 3;
                out[at] ^= 1;
            }
            Fault::Reorder if is_due && self.held.is_none() => {
                self.held = Some((to, out.split_off(from)));
            }
            Fault::Reorder => {
                if let Some((_, held)) = self.held.take_if(|(peer, _)| *peer == to) {
                    out.extend_from_slice(&held);
                }
            }
            _ => {}
        }
    }

    /// What has waited long enough.
    pub fn end_turn(&mut self) -> Vec<(usize, Vec<u8>)> {
        self.turns += 1;
        if self.turns.is_multiple_of(LATE_TURNS) {
            std::mem::take(&mut self.late)
        } else {
            Vec::new()
        }
    }
}
