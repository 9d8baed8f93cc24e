//! `/`: links to the pages, and a live page drawn from them (`monitor/page`).

use std::fmt::Write;

use crate::monitor::facts::ServerFacts;

const PAGE: &str = include_str!("../page/page.html");
const STYLE: &str = include_str!("../page/page.css");
const SCRIPT: &str = include_str!("../page/page.js");

/// Links are relative to the directory of the index itself, so they hold behind a proxy that
/// moves it. `pages` are paths and titles.
pub fn index(facts: &ServerFacts, pages: &[(&str, &str)]) -> String {
    let path = facts.http_base_path.trim_start_matches('/');
    // The index of a base path stands beside that path's directory, not in it.
    let directory = path.rsplit('/').next().unwrap_or_default();
    let separator = if directory.is_empty() { "" } else { "/" };
    let base = escaped(&format!("./{directory}{separator}"));
    let mut links = String::new();
    for (path, title) in pages {
        let _ = writeln!(links, "<a href=\"{base}{}\">{title}</a>", &path[1..]);
    }
    let (version, nats) = (escaped(&facts.weft_version), escaped(&facts.version));
    fill(&[
        ("style", STYLE),
        ("base", &base),
        ("version", &version),
        ("nats", &nats),
        ("links", &links),
        ("script", SCRIPT),
    ])
}

/// The page with these texts in its places. What is put in is not looked at again.
fn fill(places: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len());
    let mut parts = PAGE.split("{{");
    page.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        let text = places.iter().find(|(place, _)| *place == name);
        page.push_str(text.map_or("", |(_, text)| text));
        page.push_str(rest);
    }
    page
}

/// An operator's path may hold anything.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_pages_below_the_base_path() {
        let page = [("/varz", "General")];
        for (base, link) in [("", "./varz"), ("/mon", "./mon/varz"), ("/a/mon", "./mon/varz")] {
            let facts = ServerFacts { http_base_path: base.into(), ..ServerFacts::default() };
            assert!(index(&facts, &page).contains(&format!("\"{link}\"")), "{base}");
        }
    }

    #[test]
    fn every_place_of_the_page_is_filled_and_nothing_comes_from_elsewhere() {
        let facts = ServerFacts { http_base_path: "/\"<x".into(), ..ServerFacts::default() };
        let page = index(&facts, &[]);
        assert!(page.contains("data-base=\"./&quot;&lt;x/\""));
        assert!(!page.contains("{{"));
        let own = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains("://"), "a page that loads something from outside");
    }
}
