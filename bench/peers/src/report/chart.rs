//! Lines over a few places, as SVG. The scale upwards is logarithmic.

use std::fmt::Write;

use crate::results::Spread;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 45.0;
const BOTTOM: f64 = 365.0;
/// Colours that differ also for those who see few of them. The first is ours.
const COLOURS: [&str; 8] =
    ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f3c8d", "#666666"];

pub(super) struct Chart {
    pub(super) title: String,
    /// What goes from left to right.
    pub(super) x: String,
    /// Places from left to right that are named.
    pub(super) ticks: Vec<(f64, String)>,
    /// How a value is written.
    pub(super) y: fn(f64) -> String,
    pub(super) series: Vec<Series>,
}

pub(super) struct Series {
    pub(super) name: String,
    /// From left to right.
    pub(super) points: Vec<(f64, Spread)>,
}

impl Chart {
    pub(super) fn has_points(&self) -> bool {
        self.series.iter().any(|series| !series.points.is_empty())
    }

    pub(super) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        label(&mut svg, LEFT, 24.0, "start", &self.title);
        label(&mut svg, f64::midpoint(LEFT, RIGHT), HEIGHT - 12.0, "middle", &self.x);
        let scale = Scale::of(self);
        for value in scale.lines() {
            let y = scale.y(value);
            line(&mut svg, (LEFT, y), (RIGHT, y), "#dddddd", 1.0);
            label(&mut svg, LEFT - 8.0, y + 4.0, "end", &(self.y)(value));
        }
        for (at, name) in &self.ticks {
            let x = scale.x(*at);
            line(&mut svg, (x, BOTTOM), (x, BOTTOM + 5.0), "#888888", 1.0);
            label(&mut svg, x, BOTTOM + 20.0, "middle", name);
        }
        for (number, series) in self.series.iter().enumerate() {
            series.draw(&mut svg, &scale, number);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Series {
    fn draw(&self, svg: &mut String, scale: &Scale, number: usize) {
        let colour = COLOURS[number % COLOURS.len()];
        let width = if number == 0 { 3.0 } else { 1.5 };
        let mut path = String::new();
        for (at, of) in &self.points {
            let (x, y) = (scale.x(*at), scale.y(of.median));
            let _ = write!(path, "{x:.1},{y:.1} ");
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
            line(svg, (x, scale.y(of.min)), (x, scale.y(of.max)), colour, 1.0);
        }
        let points = path.trim_end();
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        );
        let y = TOP + 10.0 + 20.0 * number as f64;
        line(svg, (RIGHT + 20.0, y), (RIGHT + 45.0, y), colour, width);
        label(svg, RIGHT + 52.0, y + 4.0, "start", &self.name);
    }
}

/// From values to places in the picture.
struct Scale {
    left: f64,
    right: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(chart: &Chart) -> Self {
        let points = || chart.series.iter().flat_map(|series| &series.points);
        let xs = || points().map(|(at, _)| *at);
        // What took no time that could be measured has no place on the scale.
        let min = points().map(|(_, of)| of.min).fold(f64::INFINITY, f64::min).max(1e-3);
        let max = points().map(|(_, of)| of.max).fold(min, f64::max);
        let low = *steps(min).rfind(|step| *step <= min).get_or_insert(min);
        let high = *steps(max).find(|step| *step >= max * 1.001).get_or_insert(max);
        Self {
            left: xs().fold(f64::INFINITY, f64::min),
            right: xs().fold(f64::NEG_INFINITY, f64::max),
            low: low.log10(),
            high: high.log10(),
        }
    }

    fn x(&self, at: f64) -> f64 {
        let width = (self.right - self.left).max(f64::MIN_POSITIVE);
        let margin = 20.0;
        LEFT + margin + (at - self.left) / width * (RIGHT - LEFT - 2.0 * margin)
    }

    fn y(&self, value: f64) -> f64 {
        let height = self.high - self.low;
        BOTTOM - (value.max(1e-3).log10() - self.low).max(0.0) / height * (BOTTOM - TOP)
    }

    /// Values with a line across: powers of ten, and between them where there are few.
    fn lines(&self) -> Vec<f64> {
        let is_wide = self.high - self.low > 3.0;
        let from = self.low.floor() as i32;
        let to = self.high.ceil() as i32;
        let factors: &[f64] = if is_wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = (from..=to).flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
        all.filter(|value| (self.low - 1e-9..=self.high + 1e-9).contains(&value.log10())).collect()
    }
}

/// 1, 2 and 5 of the power of ten below a value, and the next one.
fn steps(value: f64) -> impl DoubleEndedIterator<Item = f64> {
    let power = 10_f64.powi(value.log10().floor() as i32);
    [1.0, 2.0, 5.0, 10.0, 20.0].into_iter().map(move |factor| factor * power)
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}
