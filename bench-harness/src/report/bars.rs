//! Servers side by side: a bar each, per workload. A workload's bars have a scale of their own,
//! so that slow and fast workloads stand in one figure; the numbers are absolute.

use std::fmt::Display;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::palette;
use crate::failure::{Context, Outcome};

const WIDTH: i32 = 860;
/// Left of the bars: the workload's name. Right of them: the number.
const NAME_WIDTH: i32 = 330;
const NUMBER_WIDTH: i32 = 110;
const BAR_HEIGHT: i32 = 15;
const GAP: i32 = 12;
const TEXT: i32 = 13;

pub struct Group {
    pub name: String,
    /// By server; `None` where nothing was measured.
    pub values: Vec<Option<f64>>,
}

/// SVG text.
pub fn draw(groups: &[Group], number: impl Fn(f64) -> String) -> Outcome<String> {
    let servers = groups.iter().map(|group| group.values.len()).max().unwrap_or(0) as i32;
    let step = servers * BAR_HEIGHT + GAP;
    let height = (groups.len() as i32 * step + GAP).max(1);
    let mut svg = String::new();
    {
        let root =
            SVGBackend::with_string(&mut svg, (WIDTH.cast_unsigned(), height.cast_unsigned()))
                .into_drawing_area();
        for (nth, group) in groups.iter().enumerate() {
            let top = GAP + nth as i32 * step;
            draw_group(&root, group, top, servers, &number)?;
        }
        root.present().context("drawing bars")?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_group(
    root: &Area<'_>,
    group: &Group,
    top: i32,
    servers: i32,
    number: impl Fn(f64) -> String,
) -> Outcome<()> {
    let middle = top + servers * BAR_HEIGHT / 2;
    write(root, &group.name, (NAME_WIDTH - 10, middle), HPos::Right)?;
    let largest = group.values.iter().flatten().copied().fold(0.0, f64::max);
    let room = f64::from(WIDTH - NAME_WIDTH - NUMBER_WIDTH);
    for (nth, value) in group.values.iter().enumerate() {
        let top = top + nth as i32 * BAR_HEIGHT;
        let share = value.filter(|_| largest > 0.0).map_or(0.0, |value| value / largest);
        let end = NAME_WIDTH + (share * room) as i32;
        let corners = [(NAME_WIDTH, top + 1), (end.max(NAME_WIDTH + 1), top + BAR_HEIGHT - 1)];
        root.draw(&Rectangle::new(corners, palette::of_server(nth).filled())).context("a bar")?;
        let text = value.map_or_else(|| "–".into(), &number);
        write(root, text, (end + 6, top + BAR_HEIGHT / 2), HPos::Left)?;
    }
    Ok(())
}

fn write(root: &Area<'_>, text: impl Display, at: (i32, i32), side: HPos) -> Outcome<()> {
    let style = ("sans-serif", TEXT).into_font().color(&palette::INK);
    let style = style.pos(Pos::new(side, VPos::Center));
    root.draw(&Text::new(text.to_string(), at, style)).context("a text")
}
