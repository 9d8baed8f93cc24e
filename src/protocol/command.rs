//! What a client can ask, as slices of the bytes it sent.

/// The outcome of looking at the front of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<'buf> {
    /// A whole command, and how many bytes it occupied.
    Command { command: Command<'buf>, consumed: usize },
    /// A prefix of a command. Read more, then call again with all of it from its start.
    Incomplete {
        /// How many bytes the whole command has, counted from its start, where that is known
        /// already (the control line of a publish is complete); 0 where it is not.
        needed: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command<'buf> {
    /// The JSON text, not yet looked at.
    Connect(&'buf [u8]),
    Publish(Publish<'buf>),
    Subscribe {
        subject: &'buf [u8],
        queue: Option<&'buf [u8]>,
        sid: &'buf [u8],
    },
    /// `max` is `None` for an immediate unsubscribe, also where the text was no number.
    Unsubscribe {
        sid: &'buf [u8],
        max: Option<u64>,
    },
    Ping,
    Pong,
    /// `+OK` or `INFO`: accepted and ignored.
    Ignored,
    /// `-ERR`: the server closes, silently.
    Error,
}

/// PUB or HPUB with its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish<'buf> {
    pub subject: &'buf [u8],
    pub reply: Option<&'buf [u8]>,
    /// Bytes of `payload` that are headers: HPUB. 0 for PUB (and for an HPUB that declares 0).
    pub header_len: usize,
    /// The sizes as the client wrote them (the reference echoes them verbatim):
    /// `"13"` of a PUB, the total of an HPUB.
    pub size_text: &'buf [u8],
    /// The header length of an HPUB as written; empty for PUB.
    pub header_len_text: &'buf [u8],
    /// Headers and body, without the closing CR LF.
    pub payload: &'buf [u8],
    /// Everything after the subject up to and including the payload's CR LF, where the client
    /// wrote it just as MSG or HMSG would (single blanks, CR LF):
    /// `" [reply ][hdr_len ]size\r\npayload\r\n"`. A delivery then is two copies.
    /// `None` where it must be put together anew.
    pub tail: Option<&'buf [u8]>,
    /// HPUB, whatever its header length.
    pub is_hpub: bool,
}
