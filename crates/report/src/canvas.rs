//! A sheet to draw on: plotters' SVG backend, with our colours and pixel positions.

use plotters::backend::DrawingBackend;
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle};

use crate::ReportError;
use crate::palette::{self, Ink};
use crate::text::escape;

/// Plotters has whole pixels; drawing at a larger size keeps lines smooth.
const SCALE: f64 = 4.0;
const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

/// Where a picture goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skin {
    /// A file of its own: light colours, white behind.
    File,
    /// Inside the page: the page's colours, dark or light.
    Page,
}

/// Which end of a text stands at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// The text begins there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

/// The sheet. Positions are pixels, y downwards; a text's y is its middle.
pub(crate) struct Canvas<'a> {
    backend: SVGBackend<'a>,
    failed: Option<String>,
}

/// Draws a picture and returns its SVG.
pub(crate) fn draw(
    title: &str,
    (width, height): (f64, f64),
    skin: Skin,
    paint: impl FnOnce(&mut Canvas<'_>),
) -> Result<String, ReportError> {
    let mut svg = String::new();
    {
        let size = ((width * SCALE) as u32, (height * SCALE) as u32);
        let mut canvas = Canvas { backend: SVGBackend::with_string(&mut svg, size), failed: None };
        if skin == Skin::File {
            canvas.rect((0.0, 0.0), (width, height), Ink::Surface);
        }
        paint(&mut canvas);
        let presented = canvas.backend.present().map_err(|e| e.to_string()).err();
        if let Some(why) = canvas.failed.or(presented) {
            return Err(ReportError::Draw { what: title.to_owned(), why });
        }
    }
    Ok(dress(&svg, title, (width, height), skin))
}

/// Gives the SVG its size, title and, for the page, the page's colours.
fn dress(svg: &str, title: &str, (width, height): (f64, f64), skin: Skin) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let mut body = body
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(&format!(" font-family=\"{}\"", escape(FONT).replace("&#39;", "&apos;")), "")
        .replace("\n</text>", "</text>")
        .replace(">\n<", "><")
        .replace("\">\n", "\">");
    if skin == Skin::Page {
        for ink in Ink::ALL {
            body = body.replace(&format!("\"{}\"", palette::hex(ink.rgb())), &format!("\"var({})\"", ink.variable()));
        }
        for (step, rgb) in palette::HEAT.iter().enumerate() {
            body = body.replace(&format!("fill=\"{}\"", palette::hex(*rgb)), &format!("class=\"h{step}\""));
        }
    }
    let open = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {} {}\" role=\"img\" font-family=\"{FONT}\"><title>{}</title><style>rect{{shape-rendering:crispEdges}}</style>",
        width * SCALE,
        height * SCALE,
        escape(title)
    );
    let head = if skin == Skin::File { "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" } else { "" };
    format!("{head}{open}{}\n", body.trim_end())
}

fn at((x, y): (f64, f64)) -> (i32, i32) {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

impl Canvas<'_> {
    fn keep(&mut self, result: Result<(), impl std::fmt::Display>) {
        if let Err(e) = result {
            self.failed.get_or_insert(e.to_string());
        }
    }

    /// A filled rectangle from its upper left to its lower right corner.
    pub(crate) fn rect(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink) {
        self.rect_rgb(from, to, ink.rgb());
    }

    /// The same in a colour of a scale.
    pub(crate) fn rect_rgb(&mut self, from: (f64, f64), to: (f64, f64), (r, g, b): (u8, u8, u8)) {
        let result = self.backend.draw_rect(at(from), at(to), &RGBColor(r, g, b), true);
        self.keep(result);
    }

    /// A frame around a rectangle.
    pub(crate) fn border(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        self.path(&[from, (to.0, from.1), to, (from.0, to.1), from], ink, width, 1.0);
    }

    /// A line.
    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        let style = stroke(ink, width, 1.0);
        let result = self.backend.draw_line(at(from), at(to), &style);
        self.keep(result);
    }

    /// A line through points.
    pub(crate) fn path(&mut self, points: &[(f64, f64)], ink: Ink, width: f64, alpha: f64) {
        if points.len() < 2 {
            return;
        }
        let result = self.backend.draw_path(points.iter().copied().map(at), &stroke(ink, width, alpha));
        self.keep(result);
    }

    /// A filled shape.
    pub(crate) fn polygon(&mut self, points: &[(f64, f64)], ink: Ink, alpha: f64) {
        let result = self.backend.fill_polygon(points.iter().copied().map(at), &ink.colour().mix(alpha));
        self.keep(result);
    }

    /// A dot.
    pub(crate) fn dot(&mut self, centre: (f64, f64), radius: f64, ink: Ink) {
        let result = self.backend.draw_circle(at(centre), (radius * SCALE) as u32, &ink.colour(), true);
        self.keep(result);
    }

    /// A line of text, `size` in pixels, its middle at `position`.y. Hidden characters are made visible.
    pub(crate) fn text(&mut self, text: &str, position: (f64, f64), size: f64, ink: Ink, align: Align) {
        self.write(text, position, size, ink, align, FontStyle::Normal);
    }

    /// The same in bold.
    pub(crate) fn bold(&mut self, text: &str, position: (f64, f64), size: f64, ink: Ink, align: Align) {
        self.write(text, position, size, ink, align, FontStyle::Bold);
    }

    fn write(&mut self, text: &str, position: (f64, f64), size: f64, ink: Ink, align: Align, weight: FontStyle) {
        let horizontal = match align {
            Align::Start => HPos::Left,
            Align::Middle => HPos::Center,
            Align::End => HPos::Right,
        };
        // The backend divides sizes by 1.24.
        let font = (FontFamily::Name(FONT), size * SCALE * 1.24).into_font().style(weight);
        let colour = ink.colour();
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(horizontal, VPos::Center));
        let visible = coldcase_model::text::visible(text);
        let result = self.backend.draw_text(&visible, &style, at(position));
        self.keep(result);
    }
}

fn stroke(ink: Ink, width: f64, alpha: f64) -> ShapeStyle {
    ShapeStyle { color: ink.colour().mix(alpha), filled: false, stroke_width: ((width * SCALE).round() as u32).max(1) }
}

/// About how wide a text is, in pixels: the fonts of the reader are not known here.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().map(|c| if c.is_ascii() { 0.57 } else { 0.85 }).sum::<f64>() * size
}
