//! Calls of functions in a destination: `{{name(argument, …)}}`.

use super::Fault;

/// A call with its arguments read. Indexes count the source's wildcards from 1.
pub enum Call {
    Wildcard(i64),
    Partition { count: u32, indexes: Vec<i64> },
    Random(u32),
    SplitFromLeft(i64, usize),
    SplitFromRight(i64, usize),
    SliceFromLeft(i64, usize),
    SliceFromRight(i64, usize),
    Split(i64, String),
    Left(i64, usize),
    Right(i64, usize),
}

/// A call whose name is known.
pub struct Named<'a> {
    name: &'static str,
    arguments: &'a str,
}

/// Names in lower case, and which of their letters may be capitals.
const NAMES: &[(&str, &[usize])] = &[
    ("wildcard", &[0]),
    ("partition", &[0]),
    ("random", &[0]),
    ("splitfromleft", &[0, 5, 9]),
    ("splitfromright", &[0, 5, 9]),
    ("slicefromleft", &[0, 5, 9]),
    ("slicefromright", &[0, 5, 9]),
    ("split", &[0]),
    ("left", &[0]),
    ("right", &[0]),
];

impl Call {
    /// A token in double braces has to be a call, except an empty pair.
    pub fn may_be(token: &str) -> bool {
        token.len() > 4 && token.starts_with("{{") && token.ends_with("}}")
    }

    /// The call in a token: like the reference, whatever surrounds it is passed over.
    pub fn find(token: &str) -> Option<Named<'_>> {
        token.char_indices().find_map(|(at, _)| {
            let text = token[at..].strip_prefix("{{")?.trim_start();
            let (name, rest) = text.split_at(text.find(|c: char| !c.is_ascii_alphabetic())?);
            let name = known(name)?;
            let rest = rest.trim_start().strip_prefix('(')?;
            let mut ends = rest.rmatch_indices(')').map(|(at, _)| at);
            let end = ends.find(|at| rest[at + 1..].trim_start().starts_with("}}"))?;
            Some(Named { name, arguments: &rest[..end] })
        })
    }
}

fn known(name: &str) -> Option<&'static str> {
    let known = NAMES.iter().find(|(known, capitals)| {
        let mut letters = name.bytes().enumerate();
        known.eq_ignore_ascii_case(name)
            && letters.all(|(at, byte)| byte.is_ascii_lowercase() || capitals.contains(&at))
    });
    known.map(|(name, _)| *name)
}

impl Named<'_> {
    pub fn read(&self) -> Result<Call, Fault> {
        // A comma takes the blanks behind it with it; those before it stay.
        let arguments: Vec<&str> = self.arguments.split(',').enumerate().map(trim).collect();
        match self.name {
            "wildcard" => match arguments[..] {
                [""] => Err(Fault::TooFewArguments),
                [index] => Ok(Call::Wildcard(integer(index)?)),
                _ => Err(Fault::TooManyArguments),
            },
            "partition" => {
                let count = small(arguments[0])? as u32;
                let indexes = arguments[1..].iter().map(|index| integer(index));
                Ok(Call::Partition { count, indexes: indexes.collect::<Result<_, _>>()? })
            }
            "random" => match arguments[..] {
                [below] => Ok(Call::Random(small(below)?.unsigned_abs())),
                _ => Err(Fault::TooFewArguments),
            },
            "split" => {
                let [index, by] = two(&arguments)?;
                if by.contains(' ') {
                    return Err(Fault::Argument);
                }
                Ok(Call::Split(integer(index)?, by.into()))
            }
            name => {
                let [index, size] = two(&arguments)?;
                let index = integer(index)?;
                // Below 0 is 0: it leaves the token whole.
                let size = usize::try_from(small(size)?).unwrap_or(0);
                Ok(match name {
                    "splitfromleft" => Call::SplitFromLeft(index, size),
                    "splitfromright" => Call::SplitFromRight(index, size),
                    "slicefromleft" => Call::SliceFromLeft(index, size),
                    "slicefromright" => Call::SliceFromRight(index, size),
                    "left" => Call::Left(index, size),
                    _ => Call::Right(index, size),
                })
            }
        }
    }
}

fn trim((place, argument): (usize, &str)) -> &str {
    if place == 0 { argument } else { argument.trim_start() }
}

fn two<'a>(arguments: &[&'a str]) -> Result<[&'a str; 2], Fault> {
    match *arguments {
        [first, second] => Ok([first, second]),
        [_] => Err(Fault::TooFewArguments),
        _ => Err(Fault::TooManyArguments),
    }
}

fn integer(text: &str) -> Result<i64, Fault> {
    text.trim().parse().map_err(|_| Fault::Argument)
}

fn small(text: &str) -> Result<i32, Fault> {
    text.trim().parse().map_err(|_| Fault::Argument)
}
