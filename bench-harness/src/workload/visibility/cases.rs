//! The five cases. In each, `n` is the number of the try: subjects and sids carry it, so that a
//! late message of an earlier try is never taken for this one's.

use super::prober::{Case, Heard, Role, Try, Verdict, Wire};
use crate::client::{Greeting, ServerOp};

/// Is it the message of this try, on a subscription whose sid is the try's number?
fn is_own(attempt: &Try, op: &ServerOp<'_>) -> bool {
    matches!(op, ServerOp::Message(message) if message.sid == attempt.n)
}

/// What the server says of a SUB holds everywhere: a publish from another connection must reach
/// the subscriber.
pub struct Acknowledged {
    name: &'static str,
    verbose: bool,
    /// Behind the SUB.
    asks: &'static str,
    /// Answers to a try's lines, PONG or +OK.
    answers: u8,
}

pub const SUB_PING: Acknowledged = Acknowledged {
    name: "SUB+PING, then publish from another connection",
    verbose: false,
    asks: "PING\r\n",
    answers: 1,
};

/// The first +OK is for the UNSUB.
pub const VERBOSE_OK: Acknowledged = Acknowledged {
    name: "SUB answered by +OK, then publish from another connection",
    verbose: true,
    asks: "",
    answers: 2,
};

impl Case for Acknowledged {
    fn name(&self) -> &'static str {
        self.name
    }

    fn greeting(&self, role: Role) -> Greeting {
        Greeting { verbose: self.verbose && role == Role::Asker, no_responders: false }
    }

    fn begin(&self, &Try { lane, n, .. }: &Try, wire: &mut Wire<'_>) {
        let (last, asks) = (n - 1, self.asks);
        wire.send(Role::Asker, &format!("UNSUB {last}\r\nSUB v.{lane}.{n} {n}\r\n{asks}"));
    }

    fn on_op(&self, attempt: &mut Try, heard: &Heard<'_>, wire: &mut Wire<'_>) -> Verdict {
        match (heard.by, heard.op) {
            (Role::Asker, ServerOp::Pong | ServerOp::Ok) => {
                attempt.step += 1;
                if attempt.step == self.answers {
                    let Try { lane, n, .. } = attempt;
                    wire.send(Role::Other, &format!("PUB v.{lane}.{n} 0\r\n\r\n"));
                }
            }
            (Role::Asker, op) if is_own(attempt, op) => return Verdict::Held,
            _ => {}
        }
        Verdict::Pending
    }
}

/// SUB of an inbox and the request in one breath; the answer is published through a connection
/// that neither asked nor served.
pub struct ThirdAnswer;

impl Case for ThirdAnswer {
    fn name(&self) -> &'static str {
        "SUB then PUB without PING, answered through a third connection"
    }

    fn standing(&self, lane: usize, role: Role) -> Option<String> {
        (role == Role::Other).then(|| format!("SUB service.{lane} 1\r\n"))
    }

    fn begin(&self, &Try { lane, n, .. }: &Try, wire: &mut Wire<'_>) {
        let last = n - 1;
        let lines = format!(
            "UNSUB {last}\r\nSUB r.{lane}.{n} {n}\r\nPUB service.{lane} r.{lane}.{n} 0\r\n\r\n"
        );
        wire.send(Role::Asker, &lines);
    }

    fn on_op(&self, attempt: &mut Try, heard: &Heard<'_>, wire: &mut Wire<'_>) -> Verdict {
        match (heard.by, heard.op) {
            (Role::Other, ServerOp::Message(request)) => {
                attempt.step = 1;
                let reply = String::from_utf8_lossy(request.reply.unwrap_or_default());
                wire.send(Role::Third, &format!("PUB {reply} 0\r\n\r\n"));
            }
            (Role::Asker, op) if is_own(attempt, op) => return Verdict::Held,
            _ => {}
        }
        Verdict::Pending
    }
}

/// After the publisher has its PONG, a PING of the subscriber must not be answered before the
/// message.
pub struct PublishPong;

impl Case for PublishPong {
    fn name(&self) -> &'static str {
        "publish+PONG, then the message comes before the subscriber's PONG"
    }

    fn standing(&self, lane: usize, role: Role) -> Option<String> {
        (role == Role::Asker).then(|| format!("SUB v.{lane}.* 1\r\n"))
    }

    fn begin(&self, &Try { lane, n, .. }: &Try, wire: &mut Wire<'_>) {
        wire.send(Role::Other, &format!("PUB v.{lane}.{n} 0\r\n\r\nPING\r\n"));
    }

    fn on_op(&self, attempt: &mut Try, heard: &Heard<'_>, wire: &mut Wire<'_>) -> Verdict {
        /// Bits of the step.
        const ARRIVED: u8 = 1;
        const ASKED: u8 = 2;
        match (heard.by, heard.op) {
            (Role::Asker, ServerOp::Message(message)) => {
                let own = format!("v.{}.{}", attempt.lane, attempt.n);
                if message.subject == own.as_bytes() {
                    attempt.step |= ARRIVED;
                }
            }
            (Role::Other, ServerOp::Pong) => {
                attempt.step |= ASKED;
                wire.send(Role::Asker, "PING\r\n");
            }
            (Role::Asker, ServerOp::Pong) if attempt.step & ASKED != 0 => {
                return Verdict::of(attempt.step & ARRIVED != 0, "the PONG overtook it");
            }
            _ => {}
        }
        Verdict::Pending
    }
}

/// The last listener has left and knows it: a request is refused at once. The requester's PONG
/// behind its request says when "at once" is over.
pub struct UnsubRequest;

/// Steps of a try.
const LEAVING: u8 = 1;
const GONE: u8 = 2;
const REFUSED: u8 = 3;

impl Case for UnsubRequest {
    fn name(&self) -> &'static str {
        "UNSUB+PING, then a request gets 503 at once"
    }

    fn greeting(&self, _role: Role) -> Greeting {
        Greeting { verbose: false, no_responders: true }
    }

    fn standing(&self, lane: usize, role: Role) -> Option<String> {
        (role == Role::Other).then(|| format!("SUB _INBOX.{lane}.* 1\r\n"))
    }

    fn begin(&self, &Try { lane, n, .. }: &Try, wire: &mut Wire<'_>) {
        wire.send(Role::Asker, &format!("SUB u.{lane}.{n} {n}\r\nPING\r\n"));
    }

    fn on_op(&self, attempt: &mut Try, heard: &Heard<'_>, wire: &mut Wire<'_>) -> Verdict {
        let own = is_own(attempt, heard.op);
        let Try { lane, n, step } = attempt;
        match (heard.by, heard.op) {
            (Role::Asker, ServerOp::Pong) if *step == 0 => {
                *step = LEAVING;
                wire.send(Role::Asker, &format!("UNSUB {n}\r\nPING\r\n"));
            }
            (Role::Asker, ServerOp::Pong) => {
                *step = GONE;
                let lines = format!("PUB u.{lane}.{n} _INBOX.{lane}.{n} 0\r\n\r\nPING\r\n");
                wire.send(Role::Other, &lines);
            }
            (Role::Asker, _) if own => {
                return Verdict::Broken("a request reached who had left".into());
            }
            (Role::Other, ServerOp::Message(message)) => {
                let own = format!("_INBOX.{lane}.{n}");
                if message.subject == own.as_bytes() && message.is_no_responders() {
                    *step = REFUSED;
                }
            }
            (Role::Other, ServerOp::Pong) if *step >= GONE => {
                let broken = "the PONG behind the request came before the 503";
                return Verdict::of(*step == REFUSED, broken);
            }
            _ => {}
        }
        Verdict::Pending
    }
}
