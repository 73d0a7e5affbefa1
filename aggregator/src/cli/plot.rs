//! A decode as a picture: each candidate's share with its 95 % interval.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Candidates that one picture shows.
const MOST: usize = 40;
/// Characters of a candidate that are shown.
const LETTERS: usize = 36;
const WIDTH: u32 = 1000;
const ROW: u32 = 24;
/// Room for the names, the axis and the edges.
const NAMES: u32 = 300;
const AXIS: u32 = 60;
const EDGE: u32 = 20;
const BLUE_INK: RGBColor = RGBColor(31, 90, 160);
const GREY_INK: RGBColor = RGBColor(150, 150, 150);

/// One candidate of the picture, with shares in percent.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) share: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) detected: bool,
}

/// Draws the first of `bars` to `path`, an SVG or a PNG by its name. What was detected is blue, the rest grey.
pub(crate) fn draw(path: &Path, bars: &[Bar]) -> Result<()> {
    let bars = &bars[..bars.len().min(MOST)];
    let letters = dejavu::sans::regular();
    register_font("sans-serif", FontStyle::Normal, letters)
        .map_err(|_| anyhow!("the built-in font is damaged"))?;
    let size = (WIDTH, bars.len() as u32 * ROW + AXIS + 2 * EDGE);
    let failed = || format!("{} cannot be drawn", path.display());
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => {
            let mut picture = String::new();
            chart(&SVGBackend::with_string(&mut picture, size).into_drawing_area(), bars)
                .with_context(failed)?;
            std::fs::write(path, picture).with_context(failed)
        }
        Some("png") => chart(&BitMapBackend::new(path, size).into_drawing_area(), bars).with_context(failed),
        _ => bail!("{} is neither an SVG nor a PNG: end its name with .svg or .png", path.display()),
    }
}

fn chart<B: DrawingBackend>(area: &DrawingArea<B, Shift>, bars: &[Bar]) -> Result<()>
where
    B::ErrorType: 'static,
{
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(EDGE)
        .x_label_area_size(AXIS)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(reach(bars), 0.0..bars.len() as f64)?;
    let axis = ("sans-serif", 14).into_font();
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(WHITE)
        .x_desc("share of the reports, %, with its 95 % interval")
        .label_style(axis.clone())
        .axis_desc_style(axis.clone())
        .draw()?;
    for (place, bar) in bars.iter().enumerate() {
        let y = (bars.len() - place) as f64 - 0.5;
        let ink = if bar.detected { BLUE_INK } else { GREY_INK };
        let line = [(bar.low, y), (bar.high, y)];
        chart.draw_series([PathElement::new(line, ink.stroke_width(2))])?;
        chart.draw_series([Circle::new((bar.share, y), 4, ink.filled())])?;
        let (_, row) = chart.backend_coord(&(bar.share, y));
        let right = axis.clone().color(&BLACK).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(shortened(&bar.name), ((EDGE + NAMES) as i32 - 8, row), right))?;
    }
    Ok(area.present()?)
}

/// The shares that the axis covers: all intervals, and zero.
fn reach(bars: &[Bar]) -> Range<f64> {
    let low = bars.iter().map(|bar| bar.low).fold(0.0, f64::min);
    let high = bars.iter().map(|bar| bar.high).fold(low + 1e-3, f64::max);
    low..high + 0.02 * (high - low)
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
