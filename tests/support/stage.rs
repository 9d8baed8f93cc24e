//! Plays one transcript against a server of its own.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use super::script::{Line, Pattern, Piece, Script, Step};
use super::server::{self, Server};
use super::wire::{PATIENCE, Wire};

/// What `NAME joins` sends when it names no options of its own.
const USUAL: &str = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
/// Between two looks at who of several received something.
const GLANCE: Duration = Duration::from_millis(1);

struct Stage {
    server: Server,
    wires: HashMap<String, Wire>,
    mark: Instant,
}

/// Plays it; the error names the line and what came instead.
pub fn play(script: &Script, shards: Option<usize>) -> Result<(), String> {
    let server = Server::start(&script.config, &script.flags, shards)?;
    let mut stage = Stage { server, wires: HashMap::new(), mark: Instant::now() };
    let mut at = 0;
    while at < script.steps.len() {
        let together = unordered(&script.steps[at..]);
        let line = script.steps[at].number;
        let outcome = if together > 0 {
            stage.any_order(&script.steps[at..at + together])
        } else {
            stage.act(&script.steps[at].step)
        };
        outcome.map_err(|why| format!("line {line}: {why}"))?;
        at += together.max(1);
    }
    Ok(())
}

/// How many of the first steps are `Unordered` ones of one connection.
fn unordered(lines: &[Line]) -> usize {
    let Some(Step::Unordered(first, _)) = lines.first().map(|line| &line.step) else { return 0 };
    lines
        .iter()
        .take_while(|line| matches!(&line.step, Step::Unordered(name, _) if name == first))
        .count()
}

impl Stage {
    fn any_order(&mut self, lines: &[Line]) -> Result<(), String> {
        let mut name = "";
        let mut wanted = Vec::new();
        for line in lines {
            if let Step::Unordered(of, pattern) = &line.step {
                name = of;
                wanted.push(pattern);
            }
        }
        self.wire(name)?.expect_unordered(&wanted)
    }

    fn act(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Connect(name) => {
                self.open(name)?;
                self.wire(name)?.expect(&vec![Piece::Info(Vec::new())])
            }
            Step::Dial(name) => self.open(name),
            Step::Join(name, options) => self.join(name, options),
            Step::Sign(name, seed, options) => self.wire(name)?.sign(seed, options),
            Step::Reload(config) => self.server.reload(config),
            Step::Send(name, bytes) => self.wire(name)?.send(bytes),
            Step::Trickle(name, bytes) => self.wire(name)?.trickle(bytes),
            Step::Expect(name, wanted) | Step::Unordered(name, wanted) => {
                self.wire(name)?.expect(wanted)
            }
            Step::One(names, wanted) => self.one(names, wanted).map(|_| ()),
            Step::Split(count, names, wanted) => self.split(*count, names, wanted),
            Step::Closed(name) => self.wire(name)?.expect_end(),
            Step::Cut(name) => self.wire(name)?.expect_cut(),
            Step::Close(name) => self.wires.remove(name).map(drop).ok_or("no such one".into()),
            Step::Refused(_) => match server::connect(self.server.address()) {
                Ok(_) => Err("the server accepts connections".into()),
                Err(_) => Ok(()),
            },
            Step::Silent(name, span) => self.wire(name)?.expect_silence(*span),
            Step::Sleep(span) => {
                thread::sleep(*span);
                Ok(())
            }
            Step::Signal(name) => self.server.signal(name),
            Step::Exit(code) => match self.server.wait_exit(PATIENCE)?.code() {
                Some(got) if got == *code => Ok(()),
                got => Err(format!("expected exit code {code}, got {got:?}")),
            },
            Step::Log(text) => self.log(text),
            Step::Mark => {
                self.mark = Instant::now();
                Ok(())
            }
            Step::Elapsed(least, most) => match self.mark.elapsed() {
                took if *least <= took && took <= *most => Ok(()),
                took => Err(format!("expected {least:?}..{most:?}, took {took:?}")),
            },
        }
    }

    fn wire(&mut self, name: &str) -> Result<&mut Wire, String> {
        self.wires.get_mut(name).ok_or_else(|| format!("{name} is not connected"))
    }

    fn open(&mut self, name: &str) -> Result<(), String> {
        let wire = Wire::open(self.server.address())?;
        self.wires.insert(name.to_owned(), wire);
        Ok(())
    }

    fn join(&mut self, name: &str, options: &str) -> Result<(), String> {
        let options = if options.is_empty() { USUAL } else { options };
        self.open(name)?;
        let wire = self.wire(name)?;
        wire.expect(&vec![Piece::Info(Vec::new())])?;
        wire.send(format!("CONNECT {options}\r\nPING\r\n").as_bytes())?;
        wire.expect(&vec![Piece::Bytes(b"PONG\r\n".to_vec())])
    }

    /// The name of the one that got it.
    fn one(&mut self, names: &[String], wanted: &Pattern) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for name in names {
                if self.wire(name)?.offers(wanted)? {
                    return Ok(name.clone());
                }
            }
            thread::sleep(GLANCE);
        }
        Err(format!("none of {names:?} got it"))
    }

    fn split(&mut self, count: usize, names: &[String], wanted: &Pattern) -> Result<(), String> {
        let mut shares: HashMap<String, usize> = HashMap::new();
        for taken in 0..count {
            let who = self.one(names, wanted).map_err(|why| format!("after {taken}: {why}"))?;
            *shares.entry(who).or_default() += 1;
        }
        match names.iter().find(|name| !shares.contains_key(*name)) {
            Some(idle) => Err(format!("{idle} got none of {count}")),
            None => Ok(()),
        }
    }

    fn log(&self, text: &str) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !self.server.log().contains(text) {
            if Instant::now() > deadline {
                return Err(format!("not in the log: {text}\n{}", self.server.log()));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
