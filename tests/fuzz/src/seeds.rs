//! What the mutations start from.

use std::fs;
use std::path::Path;

/// At least one input: a target without seeds starts from nothing.
pub fn load(target: &str) -> Vec<Vec<u8>> {
    let root = super::root();
    let mut seeds = files(&root.join("seeds").join(target));
    if target == "protocol" {
        let texts = files(&root.join("../transcripts"));
        seeds.extend(texts.iter().map(|text| sent(&String::from_utf8_lossy(text))));
    }
    seeds.retain(|seed| seed.len() <= super::INPUT_BYTES_MAX);
    seeds.push(Vec::new());
    seeds
}

fn files(directory: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// The bytes a transcript's connections send, its plain escapes undone.
fn sent(transcript: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in transcript.lines() {
        let Some((name, text)) = line.split_once("> ") else { continue };
        if name.contains([' ', '<', '#']) {
            continue;
        }
        let text = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t");
        bytes.extend_from_slice(text.replace("\\0", "\0").as_bytes());
    }
    bytes
}
