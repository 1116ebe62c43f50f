//! The figures, as SVG.

use crate::experiment::Results;
use crate::policy::Spec;
use crate::scene::{HAPPENS, HORIZON, OVER, Scene};
use crate::verdict::{STEAM, regret};
use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;
use std::path::Path;

/// Colours that colour-blind readers can tell apart (Okabe and Ito), the scorer's first.
const COLOURS: [RGBColor; 8] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(140, 140, 140),
];
const SMALL: (&str, i32) = ("sans-serif", 13);
const TITLE: (&str, i32) = ("sans-serif", 17);

/// Range of the regrets shown; names stand below the least that is drawn.
const LEAST: f64 = 0.012;
const LOW: f64 = 0.04;
const MOST: f64 = 60.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Regrets of all policies in all populations, with their intervals.
///
/// # Errors
/// Where the file cannot be written.
pub fn regrets(path: &Path, all: &[Results], specs: &[Spec]) -> Result<()> {
    let root = SVGBackend::new(path, (860, 90 + 44 * all.len() as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let rows = all.len() as f64;
    let mut chart = ChartBuilder::on(&root)
        .caption("regret: objective above the oracle's (log scale; less is better; bars are 95 % intervals)", TITLE)
        .margin(12)
        .margin_right(32)
        .x_label_area_size(34)
        .y_label_area_size(12)
        .build_cartesian_2d((LEAST..MOST).log_scale(), 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_labels(8)
        .label_style(SMALL)
        .light_line_style(WHITE)
        .draw()?;
    for (row, results) in all.iter().enumerate() {
        let base = rows - row as f64;
        let name = Text::new(results.population.name, (LEAST * 1.04, base - 0.2), SMALL);
        chart.draw_series([name])?;
        chart.draw_series([PathElement::new([(LEAST, base), (MOST, base)], RGBColor(220, 220, 220))])?;
        for place in STEAM..specs.len() {
            let colour = COLOURS[place - STEAM];
            let value = regret(results, place);
            let y = base - 0.12 - 0.76 * (place - STEAM) as f64 / (specs.len() - STEAM) as f64;
            let (low, high) = ((value.mean - value.half).max(LOW), (value.mean + value.half).clamp(LOW, MOST));
            chart.draw_series([PathElement::new([(low, y), (high, y)], colour.stroke_width(2))])?;
            chart.draw_series([Circle::new((value.mean.clamp(LOW, MOST), y), 3, colour.filled())])?;
        }
    }
    let names = specs[STEAM..].iter().map(Spec::name);
    legend(&mut chart, names)?;
    root.present()?;
    Ok(())
}

/// How policies take a scene.
///
/// # Errors
/// Where the file cannot be written.
pub fn scene(
    path: &Path,
    scene: Scene,
    (title, top): (&str, f64),
    lines: &[(&'static str, Vec<(f64, f64)>)],
) -> Result<()> {
    let root = SVGBackend::new(path, (860, 340)).into_drawing_area();
    root.fill(&WHITE)?;
    draw_scene(&root, scene, (title, top), lines)?;
    root.present()?;
    Ok(())
}

fn draw_scene(
    root: &Area<'_>,
    scene: Scene,
    (title, top): (&str, f64),
    lines: &[(&'static str, Vec<(f64, f64)>)],
) -> Result<()> {
    let mut chart = ChartBuilder::on(root)
        .caption(title, TITLE)
        .margin(12)
        .margin_right(32)
        .x_label_area_size(38)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..HORIZON, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .label_style(SMALL)
        .axis_desc_style(SMALL)
        .light_line_style(WHITE)
        .draw()?;
    let until = if scene == Scene::Newcomer { HORIZON } else { OVER };
    let shade = RGBColor(235, 235, 235).filled();
    chart.draw_series([Rectangle::new([(HAPPENS, 0.0), (until, top)], shade)])?;
    for (place, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let points = points.iter().map(|&(at, value)| (at, value.min(top)));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    let corner =
        if scene == Scene::Newcomer { SeriesLabelPosition::UpperLeft } else { SeriesLabelPosition::UpperRight };
    labels(&mut chart, corner)
}

fn legend<'a, X: Ranged<ValueType = f64>, Y: Ranged<ValueType = f64>>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    names: impl Iterator<Item = &'static str>,
) -> Result<()> {
    for (place, name) in names.enumerate() {
        let colour = COLOURS[place];
        chart
            .draw_series(std::iter::empty::<Circle<(f64, f64), i32>>())?
            .label(name)
            .legend(move |(x, y)| Circle::new((x + 9, y), 4, colour.filled()));
    }
    labels(chart, SeriesLabelPosition::UpperRight)
}

fn labels<'a, X: Ranged<ValueType = f64>, Y: Ranged<ValueType = f64>>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    corner: SeriesLabelPosition,
) -> Result<()> {
    chart
        .configure_series_labels()
        .position(corner)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font(SMALL)
        .draw()?;
    Ok(())
}
