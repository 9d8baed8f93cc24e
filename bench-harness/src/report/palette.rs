//! Colours of plots. Servers have theirs by position, from Okabe and Ito's set, which people of
//! any colour vision tell apart and which shows on light and on dark. Lines and letters have
//! colours that the page replaces by those of the reader's scheme.

use plotters::style::RGBColor;

/// Replaced by the page's `--ink` and `--grid`: no letters in them, so that no writer of SVG can
/// spell them in two ways.
pub const INK: RGBColor = RGBColor(0x10, 0x11, 0x12);
pub const GRID: RGBColor = RGBColor(0x90, 0x91, 0x92);
pub const INK_TEXT: &str = "#101112";
pub const GRID_TEXT: &str = "#909192";

const SERVERS: [RGBColor; 6] = [
    RGBColor(0x00, 0x8F, 0xC8),
    RGBColor(0xE6, 0x7E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x8A, 0x7F, 0xD8),
];

pub fn of_server(nth: usize) -> RGBColor {
    SERVERS[nth % SERVERS.len()]
}

pub fn text_of(colour: RGBColor) -> String {
    let RGBColor(red, green, blue) = colour;
    format!("#{red:02X}{green:02X}{blue:02X}")
}
