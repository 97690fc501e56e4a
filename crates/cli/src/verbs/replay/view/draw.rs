//! The view as a picture of characters.

use coldcase_model::quantity::format_count;
use coldcase_model::{Nanos, Utc};
use coldcase_replay::{Speed, Status};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span as Piece};
use ratatui::widgets::Paragraph;

use super::model::{Model, Sort};

/// Columns of a stream's name, and of its numbers.
const NAME: usize = 22;
const NUMBERS: usize = 20;
/// Heights of a cell of a sparkline.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const KEYS: &str = "space pause  . step  ←/→ 1 s  PgUp/PgDn 10 s  Home start  +/- speed  q quit";

/// How the picture is drawn.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// The bundle's name, visible.
    pub(super) name: String,
    /// Whether colours are used.
    pub(super) color: bool,
}

impl Look {
    fn style(&self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    fn dim(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, status: &Status, look: &Look) {
    let streams = model.rates.len().clamp(1, (frame.area().height as usize / 3).max(1)) as u16;
    let slow = (frame.area().height / 4).clamp(1, 8);
    let [top, rates, spans_title, spans, feed_title, feed, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(streams),
        Constraint::Length(1),
        Constraint::Length(slow),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(header(status, look, top.width)), top);
    frame.render_widget(Paragraph::new(rate_lines(model, status, look, rates)), rates);
    frame.render_widget(title("slowest spans of the last second", look), spans_title);
    frame.render_widget(Paragraph::new(span_lines(model, status, look, spans)), spans);
    frame.render_widget(title("what was logged, waited long, was lost or failed", look), feed_title);
    frame.render_widget(Paragraph::new(feed_lines(model, look, feed)), feed);
    frame.render_widget(Paragraph::new(Text::styled(KEYS, look.dim())), keys);
}

fn title(text: &'static str, look: &Look) -> Paragraph<'static> {
    Paragraph::new(Text::styled(text, look.style(Color::Cyan).add_modifier(Modifier::BOLD)))
}

/// Seconds after the start, to the millisecond.
fn after(utc: Utc, start: Utc) -> String {
    let after = i128::from(utc.0) - i128::from(start.0);
    let sign = if after < 0 { "-" } else { "+" };
    let millis = after.unsigned_abs() / 1_000_000;
    format!("{sign}{}.{:03}s", millis / 1000, millis % 1000)
}

/// The clock, the state, and how far it is.
fn header<'a>(status: &Status, look: &Look, width: u16) -> Vec<Text<'a>> {
    let (start, end) = status.window;
    let clock = jiff::Timestamp::from_nanosecond(i128::from(status.position.0))
        .map_or_else(|_| "?".into(), |t| t.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string());
    let speed = match status.speed {
        Some(Speed::Times(factor)) => format!("{factor}x"),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let state = match (status.over, status.paused || status.speed == Some(Speed::Step)) {
        (true, _) => "end",
        (false, true) => "paused",
        (false, false) => "playing",
    };
    let first = Text::from(vec![
        Piece::styled(format!("replay {}  ", look.name), Style::new().add_modifier(Modifier::BOLD)),
        Piece::raw(format!("{clock}  {} of {}  {speed}  ", after(status.position, start), after(end, start))),
        Piece::styled(state, look.style(if state == "playing" { Color::Green } else { Color::Yellow })),
    ]);
    let length = end.0.saturating_sub(start.0).max(1) as f64;
    let share = (status.position.0.saturating_sub(start.0) as f64 / length).clamp(0.0, 1.0);
    let done = (share * f64::from(width)).round() as usize;
    let bar = vec![
        Piece::styled("━".repeat(done), look.style(Color::Green)),
        Piece::styled("─".repeat(usize::from(width).saturating_sub(done)), look.dim()),
    ];
    vec![first, Text::from(bar)]
}

fn rate_lines<'a>(model: &Model, status: &Status, look: &Look, area: Rect) -> Vec<Text<'a>> {
    let width = usize::from(area.width).saturating_sub(NAME + NUMBERS);
    let last = model.column_of(status.position);
    let mut all: Vec<_> = model.rates.iter().collect();
    // Where not all fit, those of which there was most.
    if all.len() > usize::from(area.height) {
        all.sort_by(|a, b| b.1.total.cmp(&a.1.total).then(a.0.cmp(b.0)));
        all.truncate(usize::from(area.height));
        all.sort_by(|a, b| a.0.cmp(b.0));
    }
    let line = |(stream, rate): (&std::sync::Arc<str>, &super::model::Rate)| {
        let columns = rate.columns(last, width);
        let per_second = 1_000_000_000.0 / model.column as f64;
        // The last column has not ended: the one before tells the rate.
        let now = columns.iter().rev().nth(1).map_or(0.0, |n| *n as f64 * per_second);
        Text::from(vec![
            Piece::raw(format!("{:<NAME$}", cut(stream, NAME - 1))),
            Piece::styled(sparkline(&columns), look.style(Color::Green)),
            Piece::raw(format!("{:>9}/s", format_count(now.round() as u64))),
            Piece::styled(format!("{:>9}", format_count(rate.total)), look.dim()),
        ])
    };
    all.into_iter().map(line).collect()
}

/// A character a column; where nothing was, nothing is.
fn sparkline(columns: &[u64]) -> String {
    let most = columns.iter().copied().max().unwrap_or(0).max(1);
    let bar = |n: &u64| match n {
        0 => ' ',
        n => BARS[((n * BARS.len() as u64).div_ceil(most) as usize).clamp(1, BARS.len()) - 1],
    };
    columns.iter().map(bar).collect()
}

fn span_lines<'a>(model: &Model, status: &Status, look: &Look, area: Rect) -> Vec<Text<'a>> {
    let slow = model.slow(status.position, area.height.into());
    if slow.is_empty() {
        return vec![Text::styled("none", look.dim())];
    }
    let line = |(took, open, span): (i64, bool, &super::model::Span)| {
        let took = Nanos(u64::try_from(took).unwrap_or(0)).to_string();
        let text = format!("{took:>9}{} {}", if open { "…" } else { " " }, span.text);
        let text = cut(&text, area.width.into());
        if span.failed { Text::styled(text, look.style(Color::Red)) } else { Text::raw(text) }
    };
    slow.into_iter().map(line).collect()
}

fn feed_lines<'a>(model: &Model, look: &Look, area: Rect) -> Vec<Text<'a>> {
    let from = model.feed.len().saturating_sub(area.height.into());
    let line = |line: &super::model::Line| {
        let (word, color) = match line.sort {
            Sort::Log => ("log", Color::Reset),
            Sort::Error => ("error", Color::Red),
            Sort::Wait => ("wait", Color::Yellow),
            Sort::Disk => ("disk", Color::Magenta),
            Sort::Network => ("network", Color::Blue),
            Sort::Event => ("event", Color::Cyan),
        };
        let head = format!("{:>10} ", after(line.utc, model.start));
        let room = usize::from(area.width).saturating_sub(head.chars().count() + 8);
        Text::from(vec![
            Piece::styled(head, look.dim()),
            Piece::styled(format!("{word:<8}"), look.style(color)),
            Piece::raw(cut(&line.text, room)),
        ])
    };
    model.feed.iter().skip(from).map(line).collect()
}

/// Text of so many characters at most.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(room.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::model::{Line, Span};
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn picture(width: u16, height: u16) -> String {
        let start = Utc(1_700_000_000_000_000_000);
        let at = |ms: i64| Utc(start.0 + ms * 1_000_000);
        let mut model = Model::new(start, at(12_000));
        for n in 0..400 {
            model.count(&"kernel.offcpu".into(), at(n * n / 60));
        }
        model.count(&"log.lines".into(), at(2_400));
        model.span(Span { start: at(2_000), end: at(2_600), failed: true, text: "shop POST /order".into() });
        model.span(Span { start: at(1_400), end: at(1_900), failed: false, text: "shop GET /item".into() });
        model.happened(Line { utc: at(2_400), sort: Sort::Error, text: "app.log: ERROR no stock".into() });
        model.happened(Line { utc: at(2_410), sort: Sort::Wait, text: "shop/7 12.1ms off-CPU in fsync (D)".into() });
        let status = Status {
            window: (start, at(12_000)),
            position: at(2_500),
            speed: Some(Speed::Times(2.0)),
            ..Status::default()
        };
        let look = Look { name: "a.case".into(), color: true };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &model, &status, &look)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_picture_has_clock_rates_spans_and_what_happened() {
        insta::assert_snapshot!(picture(100, 20));
    }

    #[test]
    fn a_small_terminal_is_no_trouble() {
        for (width, height) in [(1, 1), (10, 3), (40, 5), (300, 2)] {
            picture(width, height);
        }
    }
}
