//! `/`: links to the pages.

use std::fmt::Write;

use crate::monitor::facts::ServerFacts;

/// Links are relative to the directory of the index itself, so they hold behind a proxy that
/// moves it. `pages` are paths and titles.
pub fn index(facts: &ServerFacts, pages: &[(&str, &str)]) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>weft</title>\n\
         <style>body {{ font-family: sans-serif; margin: 2em }} a {{ display: block; padding: .2em }}</style>\n\
         </head>\n<body>\n<h1>weft {}</h1>\n<p>speaks NATS {}</p>\n",
        facts.weft_version, facts.version
    );
    let base = facts.http_base_path.trim_start_matches('/');
    // The index of a base path stands beside that path's directory, not in it.
    let directory = base.rsplit('/').next().unwrap_or_default();
    for (path, title) in pages {
        let separator = if directory.is_empty() { "" } else { "/" };
        let _ = writeln!(html, "<a href=\"./{directory}{separator}{}\">{title}</a>", &path[1..]);
    }
    html.push_str("</body>\n</html>\n");
    html
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
}
