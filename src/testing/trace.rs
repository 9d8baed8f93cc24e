//! What happened last, for a failure's report. Written only when a failed seed is run again.

use std::collections::VecDeque;

const LINES_KEPT: usize = 30000;

#[derive(Debug, Default)]
pub struct Trace {
    pub on: bool,
    lines: VecDeque<String>,
}

impl Trace {
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if !self.on {
            return;
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line());
    }

    pub fn tail(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
