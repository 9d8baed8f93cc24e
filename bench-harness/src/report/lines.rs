//! Curves of several servers over one axis: percentiles, time, what a workload scales with.

use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use super::palette;
use crate::failure::{Context, Outcome};

const SIZE: (u32, u32) = (560, 320);
const TEXT: i32 = 12;

/// What the axis to the right shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Across {
    /// Quantiles, given as `1 / (1 - quantile)`, on a logarithmic axis: 0, 90, 99, 99.9 … %.
    Percentiles,
    /// Seconds.
    Time,
    /// Anything that doubles from point to point.
    Doubling,
}

pub struct Plot<'a> {
    pub across: Across,
    pub across_name: &'a str,
    pub up_name: &'a str,
    /// Up: logarithmic, or from zero.
    pub is_log: bool,
    /// By server.
    pub curves: Vec<Vec<(f64, f64)>>,
}

impl Plot<'_> {
    /// SVG text; `None` of nothing.
    pub fn draw(&self) -> Outcome<Option<String>> {
        let points = || self.curves.iter().flatten();
        if points().next().is_none() {
            return Ok(None);
        }
        let bounds = |pick: fn(&(f64, f64)) -> f64| {
            let values = || points().map(pick);
            (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max))
        };
        let (left, right) = bounds(|point| point.0);
        let (low, high) = bounds(|point| point.1);
        let across =
            if self.across == Across::Time { 0.0..right } else { left..right.max(left * 1.01) };
        let (low, high) = (low.max(1e-3) / 1.3, high.max(1e-3) * 1.3);
        // A decade at least, or a logarithmic axis has nothing to say.
        let high = if self.is_log { high.max(low * 13.0) } else { high };
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let mut chart = ChartBuilder::on(&root);
            // On the right there is room for half of the last label.
            chart.margin(12).margin_right(28).x_label_area_size(44).y_label_area_size(70);
            match (self.across, self.is_log) {
                (Across::Time, true) => {
                    self.fill(chart.build_cartesian_2d(across, (low..high).log_scale()))?;
                }
                (Across::Time, false) => self.fill(chart.build_cartesian_2d(across, 0.0..high))?,
                (_, true) => {
                    let across = across.log_scale();
                    self.fill(chart.build_cartesian_2d(across, (low..high).log_scale()))?;
                }
                (_, false) => {
                    self.fill(chart.build_cartesian_2d(across.log_scale().base(2.0), 0.0..high))?;
                }
            }
            root.present().context("drawing curves")?;
        }
        Ok(Some(svg))
    }

    fn fill<X, Y, E>(
        &self,
        chart: Result<ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>, E>,
    ) -> Outcome<()>
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
        E: std::fmt::Display,
    {
        let mut chart = chart.context("axes")?;
        let text = ("sans-serif", TEXT).into_font().color(&palette::INK);
        let across = |value: &f64| match self.across {
            Across::Percentiles => percent(*value),
            Across::Time => format!("{value:.2}"),
            Across::Doubling => short(*value),
        };
        let up = |value: &f64| short(*value);
        chart
            .configure_mesh()
            .x_desc(self.across_name)
            .y_desc(self.up_name)
            .x_label_formatter(&across)
            .y_label_formatter(&up)
            .x_labels(8)
            .y_labels(8)
            .label_style(text.clone())
            .axis_desc_style(text)
            .axis_style(palette::INK)
            .bold_line_style(palette::GRID.mix(0.35))
            .light_line_style(palette::GRID.mix(0.12))
            .draw()
            .context("a mesh")?;
        for (nth, curve) in self.curves.iter().enumerate() {
            let style = palette::of_server(nth).stroke_width(2);
            chart.draw_series(LineSeries::new(curve.iter().copied(), style)).context("a curve")?;
            if self.across == Across::Doubling {
                let dot =
                    |point: &(f64, f64)| Circle::new(*point, 4, palette::of_server(nth).filled());
                chart.draw_series(curve.iter().map(dot)).context("points")?;
            }
        }
        Ok(())
    }
}

/// `1 / (1 - quantile)` as percent: 1 → 0 %, 10 → 90 %, 1000 → 99.9 %.
fn percent(value: f64) -> String {
    let decades = value.log10().round().max(0.0) as usize;
    format!("{:.*} %", decades.saturating_sub(2), 100.0 * (1.0 - 1.0 / value))
}

/// `1234567` → `1.2M`
pub fn short(value: f64) -> String {
    let digits = |value: f64| if value < 10.0 && value.fract() > 0.04 { 1 } else { 0 };
    let (value, unit) = match value {
        _ if value >= 1e9 => (value / 1e9, "G"),
        _ if value >= 1e6 => (value / 1e6, "M"),
        _ if value >= 1e3 => (value / 1e3, "k"),
        _ if value < 1.0 && value > 0.0 => return format!("{value:.2}"),
        _ => (value, ""),
    };
    format!("{value:.*}{unit}", digits(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_an_axis() {
        for (value, text) in [
            (0.25, "0.25"),
            (1.0, "1"),
            (1.5, "1.5"),
            (999.0, "999"),
            (1234.0, "1.2k"),
            (25e6, "25M"),
        ] {
            assert_eq!(short(value), text);
        }
        for (value, text) in [(1.0, "0 %"), (10.0, "90 %"), (1000.0, "99.9 %"), (1e4, "99.99 %")] {
            assert_eq!(percent(value), text);
        }
    }

    #[test]
    fn nothing_is_not_drawn_and_one_point_is() {
        let plot = |curves| Plot {
            across: Across::Percentiles,
            across_name: "x",
            up_name: "y",
            is_log: true,
            curves,
        };
        assert!(plot(vec![vec![], vec![]]).draw().unwrap().is_none());
        let svg = plot(vec![vec![(1.0, 5.0)]]).draw().unwrap().unwrap();
        assert!(svg.contains(palette::INK_TEXT), "letters have the colour that pages replace");
    }
}
