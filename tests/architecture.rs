//! Holds the house in order (DESIGN §2): layers, file and function lengths, where `unsafe` may be.
//!
//! The checks read source as text with comments and literals blanked out, which is enough for
//! rules about paths and lengths. Each is shown to fail on a small violation at the end.

use std::fs;
use std::path::{Path, PathBuf};

/// Bottom-up. A module uses only rows above its own here, never one beside it.
const LAYERS: &[&[&str]] = &[
    &["types"],
    &["mesh", "protocol", "routing", "storage", "security"],
    &["config"],
    &["cli"],
    &["connection", "jetstream"],
    &["shard"],
    &["monitor", "testing"],
    &["runtime"],
    &["main", "lib"],
];

/// The files that may hold `unsafe`, each block of it with its SAFETY note (clippy holds that).
const UNSAFE_FILES: &[&str] = &[
    "src/mesh/ring.rs",
    "src/routing/tests/memory.rs",
    "src/runtime/core.rs",
    "src/runtime/disk/standalone.rs",
    "src/runtime/ring.rs",
    "src/runtime/sockets.rs",
    "src/runtime/syscalls.rs",
];

const FILE_LINES_MAX: usize = 800;
/// A file may be longer with a reason: a comment that begins so, within its first lines.
const LENGTH_REASON: &str = "// Length:";
const LENGTH_REASON_WITHIN: usize = 10;
/// The hubs decide nothing, so they stay short. No reason lifts these.
const HUB_LINES_MAX: &[(&str, usize)] = &[
    ("src/shard/mod.rs", 400),
    ("src/jetstream/stream/mod.rs", 500),
    ("src/jetstream/consumer/mod.rs", 500),
];

const FUNCTION_LINES_MAX: usize = 100;
/// The publish path; a test may read as one long story.
const SHORT_FUNCTIONS_IN: &[&str] = &["protocol", "routing", "connection", "shard"];

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 10, "only {} source files found", files.len());
    let mut complaints = Vec::new();
    for file in &files {
        let path = file.strip_prefix(root).expect("found below it").display().to_string();
        let text = fs::read_to_string(file).expect("a source file is text");
        complaints.extend(check(&path, &text));
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the repository") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Everything wrong with one file; `path` is relative to the package.
fn check(path: &str, text: &str) -> Vec<String> {
    let code = blank(text);
    let mut complaints = layers(path, &code);
    complaints.extend(length(path, text));
    complaints.extend(unsafety(path, &code));
    complaints.extend(functions(path, &code));
    complaints
}

fn layers(path: &str, code: &str) -> Vec<String> {
    let Some(own) = top_module(path) else { return Vec::new() };
    let Some(own_rank) = rank(own) else {
        return vec![format!("{path}: `{own}` has no layer; give it one in tests/architecture.rs")];
    };
    let mut complaints = Vec::new();
    for (line, used) in used_modules(path, code) {
        let allowed = used == own || rank(&used).is_none_or(|rank| rank < own_rank);
        if !allowed {
            complaints.push(format!("{path}:{line}: `{own}` must not use `{used}`"));
        }
    }
    complaints
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn top_module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    Some(inside.split('/').next()?.trim_end_matches(".rs"))
}

/// How many `super::` lead from this file's module to the crate's root.
fn depth(path: &str) -> usize {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').filter(|part| *part != "mod").count()
}

/// The crate's top modules this file names, with the line: `crate::x`, `weft::x`, groups of
/// those, and `super::` chains that reach the root.
fn used_modules(path: &str, code: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for root in ["crate::", "weft::", &"super::".repeat(depth(path))] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            for module in heads(&code[at + root.len()..]) {
                used.push((line, module));
            }
        }
    }
    used
}

/// The first names of a path's rest: of `a::b` it is `a`, of `{a::{x, y}, b}` they are `a`, `b`.
fn heads(rest: &str) -> Vec<String> {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        return Vec::from_iter(name(rest));
    };
    let mut heads = Vec::new();
    let mut nested = 0;
    let mut at_head = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => nested += 1,
            '}' if nested == 0 => break,
            '}' => nested -= 1,
            ',' if nested == 0 => at_head = true,
            c if at_head && !c.is_whitespace() => {
                heads.extend(name(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn length(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if let Some((_, most)) = HUB_LINES_MAX.iter().find(|(hub, _)| *hub == path) {
        let long = lines > *most;
        return Vec::from_iter(long.then(|| format!("{path}: {lines} lines, a hub has {most}")));
    }
    let mut first = text.lines().take(LENGTH_REASON_WITHIN);
    let excused = first.any(|line| {
        line.trim_start().strip_prefix(LENGTH_REASON).is_some_and(|why| !why.trim().is_empty())
    });
    let long = lines > FILE_LINES_MAX && !excused;
    Vec::from_iter(long.then(|| {
        format!("{path}: {lines} lines; split it, or say why not (`{LENGTH_REASON} …` at its top)")
    }))
}

fn unsafety(path: &str, code: &str) -> Vec<String> {
    if UNSAFE_FILES.contains(&path) {
        return Vec::new();
    }
    words(code, "unsafe")
        .map(|at| {
            let line = code[..at].matches('\n').count() + 1;
            format!("{path}:{line}: `unsafe` outside the files listed in tests/architecture.rs")
        })
        .collect()
}

fn functions(path: &str, code: &str) -> Vec<String> {
    let test = path.contains("/tests/") || path.ends_with("/tests.rs");
    if test || !top_module(path).is_some_and(|own| SHORT_FUNCTIONS_IN.contains(&own)) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for at in words(code, "fn") {
        let Some((name, lines)) = function(&code[at..]) else { continue };
        if lines > FUNCTION_LINES_MAX {
            let line = code[..at].matches('\n').count() + 1;
            complaints.push(format!("{path}:{line}: fn {name} has {lines} lines"));
        }
    }
    complaints
}

/// Name and lines of the function whose `fn` the text begins with, if it has a body.
fn function(text: &str) -> Option<(String, usize)> {
    let name = name(text["fn".len()..].trim_start())?;
    let (mut braces, mut brackets, mut body) = (0, 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if !body && brackets == 0 => return None,
            '{' => (braces, body) = (braces + 1, true),
            '}' => braces -= 1,
            _ => {}
        }
        if body && braces == 0 {
            return Some((name, text[..at].matches('\n').count() + 1));
        }
    }
    None
}

/// Where this word stands as a whole.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !code[..at].ends_with(joins) && !code[at + word.len()..].starts_with(joins)
    })
}

/// The same text with comments, strings and character literals as blanks; lines stay lines.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = literal(rest, out.chars().next_back());
        let taken = if length == 0 { c.len_utf8() } else { length };
        if length == 0 {
            out.push(c);
        } else {
            out.extend(rest[..taken].chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        rest = &rest[taken..];
    }
    out
}

/// How many bytes of comment or literal the text begins with; 0 if it begins with code.
fn literal(text: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if let Some(rest) = text.strip_prefix('"') {
        return 1 + ended(rest, '"');
    }
    if !in_word && (text.starts_with('r') || text.starts_with("br")) {
        return raw_string(text);
    }
    match text.strip_prefix('\'') {
        // A lifetime has no closing quote right behind its first character.
        Some(rest) if rest.starts_with('\\') => 1 + ended(rest, '\''),
        Some(rest) => match rest.chars().next() {
            Some(c) if rest[c.len_utf8()..].starts_with('\'') => 2 + c.len_utf8(),
            _ => 0,
        },
        None => 0,
    }
}

/// Bytes up to and with the closing quote that no backslash precedes.
fn ended(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#`, `br"…"`; 0 if it is none.
fn raw_string(text: &str) -> usize {
    let prefix = if text.starts_with("br") { 2 } else { 1 };
    let hashes = text[prefix..].bytes().take_while(|&byte| byte == b'#').count();
    if !text[prefix + hashes..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let body = prefix + hashes + 1;
    text[body..].find(&close).map_or(text.len(), |end| body + end + close.len())
}

mod the_checker {
    use super::*;

    fn complains(path: &str, text: &str, about: &str) {
        let complaints = check(path, text);
        assert!(complaints.iter().any(|c| c.contains(about)), "{path}: {text:?}: {complaints:?}");
    }

    fn accepts(path: &str, text: &str) {
        assert_eq!(check(path, text), Vec::<String>::new(), "{path}: {text:?}");
    }

    #[test]
    fn refuses_layers_above_and_beside() {
        for (path, text, about) in [
            ("src/routing/router.rs", "use crate::connection::Session;", "use `connection`"),
            ("src/routing/router.rs", "use crate::protocol::Command;", "use `protocol`"),
            ("src/routing/mod.rs", "fn f() { crate::runtime::turn::run() }", "use `runtime`"),
            ("src/types/ids.rs", "use crate::{types::Seq, shard};", "use `shard`"),
            (
                "src/mesh/lane.rs",
                "use crate::{\n    types::{ids, time},\n    config,\n};",
                "`config`",
            ),
            ("src/connection/mod.rs", "pub(crate) use crate::jetstream as j;", "use `jetstream`"),
            ("src/connection/session.rs", "use super::super::shard::Shard;", "use `shard`"),
            ("src/protocol/mod.rs", "use super::storage::Log;", "use `storage`"),
            ("src/monitor/views.rs", "use weft::runtime::clock;", "use `runtime`"),
            ("src/kitchen/mod.rs", "", "has no layer"),
        ] {
            complains(path, text, about);
        }
    }

    #[test]
    fn names_the_line() {
        complains("src/types/mod.rs", "\n\nuse crate::shard::X;", "src/types/mod.rs:3:");
    }

    #[test]
    fn accepts_layers_below_and_its_own() {
        for (path, text) in [
            ("src/routing/router.rs", "use crate::types::Subject;\nuse crate::routing::interest;"),
            ("src/routing/router.rs", "use super::interest;\nuse super::super::types::Subject;"),
            ("src/runtime/turn.rs", "use crate::{monitor, shard::Shard, testing};"),
            ("src/main.rs", "use weft::runtime;"),
            ("src/types/ids.rs", "// use crate::shard::X;\nconst A: &str = \"crate::shard\";"),
            ("src/types/ids.rs", "const A: &str = r#\"\" crate::shard \"#; const B: char = '\"';"),
            ("src/types/ids.rs", "/* use crate::shard; /* nested */ */ fn f<'a>(x: &'a str) {}"),
            ("src/types/mod.rs", "fn f() { notcrate::shard::x() }"),
        ] {
            accepts(path, text);
        }
    }

    #[test]
    fn refuses_long_files() {
        let long = "//\n".repeat(FILE_LINES_MAX + 1);
        complains("src/storage/segment.rs", &long, "801 lines");
        accepts("src/storage/segment.rs", &"//\n".repeat(FILE_LINES_MAX));
        complains("src/storage/segment.rs", &format!("// Length:\n{long}"), "802 lines");
        accepts("src/storage/segment.rs", &format!("// Length: one table of codes.\n{long}"));
        let hub = format!("// Length: no reason counts here.\n{}", "//\n".repeat(400));
        complains("src/shard/mod.rs", &hub, "a hub has 400");
    }

    #[test]
    fn refuses_unsafe_in_other_files() {
        let text = "fn f() {\n    unsafe { g() }\n}";
        complains("src/routing/router.rs", text, "src/routing/router.rs:2:");
        accepts("src/mesh/ring.rs", text);
        accepts("src/routing/router.rs", "// unsafe\n#![deny(unsafe_op_in_unsafe_fn)]");
    }

    #[test]
    fn refuses_long_functions_on_the_publish_path() {
        let long = format!("fn long(x: [u8; 2]) {{\n{}}}\nfn short() {{}}", "    x;\n".repeat(100));
        complains("src/shard/delivery.rs", &long, "src/shard/delivery.rs:1: fn long has 102 lines");
        accepts("src/storage/tail.rs", &long);
        accepts("src/shard/tests/order.rs", &long);
        let short = format!("fn f() {{\n{}}}", "    x;\n".repeat(98));
        accepts("src/shard/delivery.rs", &short);
        let bodiless =
            format!("trait T {{ fn f(&self); }}\n{}", "const X: u8 = b'{';\n".repeat(200));
        accepts("src/shard/delivery.rs", &bodiless);
    }
}
