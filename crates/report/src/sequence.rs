//! The segments of one connection over time, as tcptrace and Wireshark draw them: sequence numbers upwards, each
//! segment a bar from its first number to its last, below them what was acknowledged, above them what was allowed.

use std::collections::BTreeMap;

use coldcase_model::analysis::{Analysis, Connection, SentSegment, Sequence, SequenceWay, TcpStall};

use crate::ReportError;
use crate::axis::{LEFT, RIGHT, WIDTH, nice};
use crate::canvas::{Align, Canvas, Skin, draw, text_width};
use crate::palette::Ink;
use crate::text::{bytes, count, duration, number, plural, shorten};

/// Room for the names of both ends above a plot, and for the times below it.
const TITLE: f64 = 26.0;
const PLOT: f64 = 260.0;
const BELOW: f64 = 30.0;
const LEGEND: f64 = 24.0;
/// Letters at marks, most in a panel: more cannot be read.
const LETTERS: usize = 60;
/// Least height of a bar, pixels.
const LEAST: f64 = 1.5;
/// Sequence numbers shown above those sent, as a share of them: a window that is far larger would leave nothing to see.
const AIR: f64 = 0.6;

/// The picture. Its connection must be one of the analysis.
pub(crate) fn svg(a: &Analysis, s: &Sequence, skin: Skin) -> Result<String, ReportError> {
    let none = Connection::default();
    let c = a.flow.connections.get(s.connection).unwrap_or(&none);
    let panels = shown(s, c);
    let clock = Clock::of(s);
    let head = if skin == Skin::File { 62.0 } else { 4.0 };
    let height = head + LEGEND + panels.len() as f64 * (TITLE + PLOT + BELOW) + 4.0;
    draw("Segments over time", (WIDTH, height), skin, |canvas| {
        if skin == Skin::File {
            heading(canvas, a, s, c);
        }
        legend(canvas, head + LEGEND / 2.0);
        for (i, &way) in panels.iter().enumerate() {
            let top = head + LEGEND + i as f64 * (TITLE + PLOT + BELOW);
            panel(canvas, &Panel::new(s, c, &clock, way, top + TITLE), top);
        }
    })
}

/// The directions worth a panel: those with bytes, or with a sender that waited; one at least.
fn shown(s: &Sequence, c: &Connection) -> Vec<usize> {
    let stalls = stalls(c);
    let out: Vec<usize> = (0..2)
        .filter(|&way| {
            let sent = s.ways[way].segments.iter().any(|s| s.bytes > 0);
            sent || stalls.iter().any(|stall| waits_in(stall) == way)
        })
        .collect();
    if out.is_empty() { vec![0] } else { out }
}

fn stalls(c: &Connection) -> &[TcpStall] {
    c.tcp.as_ref().map_or(&[], |t| &t.more.stalls)
}

fn waits_in(stall: &TcpStall) -> usize {
    usize::from(stall.waiting != "a")
}

/// `orders[7] 10.0.0.1:4000`.
pub(crate) fn end(address: &str, process: Option<&str>) -> String {
    match process {
        Some(p) => format!("{} {}", shorten(p, 28), shorten(address, 48)),
        None => shorten(address, 48),
    }
}

fn heading(canvas: &mut Canvas<'_>, a: &Analysis, s: &Sequence, c: &Connection) {
    canvas.bold("Segments over time", (24.0, 22.0), 18.0, Ink::Text, Align::Start);
    let mut under = format!(
        "{} · connection {}: {} → {} · {}, {} · {}",
        shorten(&a.bundle.file, 40),
        s.connection,
        end(&c.a, c.process_a.as_deref()),
        end(&c.b, c.process_b.as_deref()),
        plural(c.packets_ab.saturating_add(c.packets_ba), "packet", "packets"),
        bytes(c.bytes_ab.saturating_add(c.bytes_ba)),
        duration(s.length)
    );
    if let Some(left) = left_out(s) {
        under.push_str(&format!(" · {left}"));
    }
    canvas.text(&under, (24.0, 44.0), 11.5, Ink::Muted, Align::Start);
}

/// How much of a long connection is not drawn.
pub(crate) fn left_out(s: &Sequence) -> Option<String> {
    let left = s.ways.iter().fold(0u64, |n, w| n.saturating_add(w.left_out));
    (left > 0).then(|| format!("thinned out: {} segments, acknowledgments and windows are not drawn", count(left)))
}

/// What the signs mean.
fn legend(canvas: &mut Canvas<'_>, y: f64) {
    let mut x = LEFT;
    let mut entry = |sign: &dyn Fn(&mut Canvas<'_>, f64), words: &str| {
        sign(canvas, x);
        canvas.text(words, (x + 20.0, y), 10.5, Ink::Muted, Align::Start);
        x += 34.0 + text_width(words, 10.5);
    };
    entry(&|c, x| c.line((x + 7.0, y - 6.0), (x + 7.0, y + 6.0), Ink::Accent, 2.0), "segment");
    entry(&|c, x| again(c, (x + 7.0, y - 5.0), y + 6.0), "sent again");
    entry(&|c, x| c.line((x, y), (x + 14.0, y), Ink::Muted, 1.5), "acknowledged up to");
    entry(&|c, x| c.line((x, y), (x + 14.0, y), Ink::Good, 1.5), "receive window up to");
    entry(&|c, x| c.line((x + 7.0, y - 6.0), (x + 7.0, y + 6.0), Ink::Warn, 2.0), "SACK");
    entry(&|c, x| c.dot((x + 7.0, y), 3.0, Ink::Bad), "window 0");
    entry(&|c, x| c.rect((x, y - 6.0), (x + 14.0, y + 6.0), Ink::Worst), "stood still");
    entry(&|c, x| diamond(c, (x + 7.0, y), Ink::Text), "S SYN  F FIN  R RST");
}

fn diamond(canvas: &mut Canvas<'_>, (x, y): (f64, f64), ink: Ink) {
    canvas.polygon(&[(x, y - 4.0), (x + 4.0, y), (x, y + 4.0), (x - 4.0, y)], ink, 1.0);
}

/// The sign of bytes that were sent again: a bar under an arrow head, so that it is told without its colour.
fn again(canvas: &mut Canvas<'_>, (x, top): (f64, f64), bottom: f64) {
    canvas.line((x, top), (x, bottom), Ink::Bad, 2.0);
    canvas.polygon(&[(x, top - 2.0), (x + 3.5, top + 4.0), (x - 3.5, top + 4.0)], Ink::Bad, 1.0);
}

/// Times from left to right, with long pauses drawn short: a connection that stood still for a second is busy for
/// milliseconds before and after, and that is what is to be seen.
struct Clock {
    length: f64,
    /// Pauses that are drawn short: from and to.
    pauses: Vec<(f64, f64)>,
    /// Pixels of a nanosecond outside of them.
    scale: f64,
}

impl Clock {
    /// Width of a pause, pixels.
    const PAUSE: f64 = 84.0;
    /// Most of them.
    const PAUSES: usize = 5;

    fn of(s: &Sequence) -> Clock {
        let length = (s.length as f64).max(1.0);
        let wide = RIGHT - LEFT;
        let mut times: Vec<i64> = s
            .ways
            .iter()
            .flat_map(|w| {
                let sent = w.segments.iter().map(|s| s.time);
                let steps = w.acked.iter().chain(&w.allowed).map(|a| a.0);
                sent.chain(steps).chain(w.closed.iter().copied()).chain(w.sacked.iter().map(|s| s.0))
            })
            .collect();
        times.sort_unstable();
        let mut pauses: Vec<(f64, f64)> = times
            .windows(2)
            .map(|pair| (pair[0] as f64, pair[1] as f64))
            .map(|(from, to)| (from.clamp(0.0, length), to.clamp(0.0, length)))
            .filter(|(from, to)| (to - from) / length * wide > 1.5 * Clock::PAUSE)
            .collect();
        pauses.sort_by(|x, y| (y.1 - y.0).total_cmp(&(x.1 - x.0)));
        pauses.truncate(Clock::PAUSES);
        pauses.sort_by(|x, y| x.0.total_cmp(&y.0));
        let busy = length - pauses.iter().map(|(from, to)| to - from).sum::<f64>();
        // Where nearly nothing is between the pauses there is nothing to make room for.
        if busy < length / 1e4 {
            pauses.clear();
        }
        let room = wide - pauses.len() as f64 * Clock::PAUSE;
        let scale = if pauses.is_empty() { wide / length } else { room / busy };
        Clock { length, pauses, scale }
    }

    fn x(&self, time: f64) -> f64 {
        let time = time.clamp(0.0, self.length);
        let (mut x, mut at) = (LEFT, 0.0);
        for &(from, to) in &self.pauses {
            if time <= from {
                break;
            }
            let share = ((time - from) / (to - from)).min(1.0);
            x += (from - at) * self.scale + share * Clock::PAUSE;
            at = time.min(to);
        }
        (x + (time - at).max(0.0) * self.scale).min(RIGHT)
    }

    /// Ticks outside of the pauses: position and label.
    fn ticks(&self) -> Vec<(f64, String)> {
        const APART: f64 = 64.0;
        let busy = (RIGHT - LEFT) / self.scale;
        let (unit, name) = match busy {
            n if n >= 1e9 => (1e9, "s"),
            n if n >= 1e6 => (1e6, "ms"),
            n if n >= 1e3 => (1e3, "µs"),
            _ => (1.0, "ns"),
        };
        let step = nice(busy / unit / 10.0);
        let places = if step >= 1.0 { 0 } else { (-step.log10().floor()).max(0.0) as usize };
        let mut out: Vec<(f64, String)> = Vec::new();
        let mut spans = vec![0.0];
        spans.extend(self.pauses.iter().flat_map(|p| [p.0, p.1]));
        spans.push(self.length);
        for span in spans.chunks_exact(2) {
            let first = (span[0] / unit / step).ceil();
            for i in 0..40 {
                let at = (first + f64::from(i)) * step;
                let x = self.x(at * unit);
                if at * unit > span[1] {
                    break;
                }
                if out.last().is_none_or(|last| x - last.0 >= APART) {
                    out.push((x, format!("+{at:.places$} {name}")));
                }
            }
        }
        out
    }
}

/// One direction in its plot.
struct Panel<'a> {
    way: &'a SequenceWay,
    connection: &'a Connection,
    /// 0 from a to b, 1 back.
    index: usize,
    top: f64,
    start: i64,
    clock: &'a Clock,
    low: f64,
    high: f64,
    /// Whether the receive window goes beyond the plot.
    beyond: bool,
}

impl<'a> Panel<'a> {
    fn new(s: &'a Sequence, connection: &'a Connection, clock: &'a Clock, index: usize, top: f64) -> Panel<'a> {
        let way = &s.ways[index];
        let sent = way.segments.iter().filter(|s| !s.reset);
        let numbers = sent.flat_map(|s| [s.seq, s.end()]).chain(way.acked.iter().map(|a| a.1));
        let (low, high) = numbers.fold((i64::MAX, i64::MIN), |(low, high), n| (low.min(n), high.max(n)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low as f64, (high as f64).max(low as f64 + 1.0)) };
        let allowed = way.allowed.iter().map(|a| a.1).max().map_or(high, |n| n as f64);
        let room = high + (high - low) * AIR;
        Panel {
            way,
            connection,
            index,
            top,
            start: s.start,
            clock,
            low,
            high: allowed.clamp(high, room),
            beyond: allowed > room,
        }
    }

    fn x(&self, time: i64) -> f64 {
        self.clock.x(time as f64)
    }

    fn y(&self, number: i64) -> f64 {
        let share = ((number as f64 - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        // Nothing lies on the frame.
        self.top + PLOT - 4.0 - share * (PLOT - 20.0)
    }

    fn bar(&self, s: &SentSegment) -> (f64, f64, f64) {
        let (top, bottom) = (self.y(s.end()), self.y(s.seq));
        (self.x(s.time), top.min(bottom - LEAST), bottom)
    }
}

fn panel(canvas: &mut Canvas<'_>, p: &Panel<'_>, top: f64) {
    let c = p.connection;
    let (a, b) = (end(&c.a, c.process_a.as_deref()), end(&c.b, c.process_b.as_deref()));
    let (title, payload) = match (p.index, c.tcp.as_ref().map(|t| &t.more)) {
        (0, more) => (format!("{a} → {b}"), more.map(|m| (m.payload_ab, m.sent_again_ab.segments))),
        (_, more) => (format!("{b} → {a}"), more.map(|m| (m.payload_ba, m.sent_again_ba.segments))),
    };
    canvas.bold(&title, (LEFT - 52.0, top + 13.0), 12.5, Ink::Text, Align::Start);
    let mut facts = payload.map_or_else(String::new, |(payload, again)| {
        format!("payload {} · {} sent again", bytes(payload), plural(again, "segment", "segments"))
    });
    if p.way.allowed.is_empty() {
        facts.push_str(" · window not known: no handshake was captured");
    } else if p.beyond {
        facts.push_str(" · the receive window reaches beyond the picture");
    }
    canvas.text(&facts, (RIGHT, top + 13.0), 10.5, Ink::Muted, Align::End);
    canvas.rect((LEFT, p.top), (RIGHT, p.top + PLOT), Ink::Panel);
    shade(canvas, p);
    grid(canvas, p);
    canvas.path(&steps(p, &p.way.allowed), Ink::Good, 1.2, 1.0);
    canvas.path(&steps(p, &p.way.acked), Ink::Muted, 1.4, 1.0);
    let sacked = p.way.sacked.iter().map(|&(time, left, right)| {
        let (top, bottom) = (p.y(right), p.y(left));
        (p.x(time), top.min(bottom - LEAST), bottom)
    });
    for (x, top, bottom) in bars(sacked) {
        canvas.line((x, top), (x, bottom), Ink::Warn, 1.5);
    }
    let of = |again: bool| p.way.segments.iter().filter(move |s| s.again == again && s.end() > s.seq);
    for (x, top, bottom) in bars(of(false).map(|s| p.bar(s))) {
        canvas.line((x, top), (x, bottom), Ink::Accent, 1.5);
    }
    for (x, top, bottom) in bars(of(true).map(|s| p.bar(s))) {
        again(canvas, (x, top), bottom);
    }
    marks(canvas, p);
    labels(canvas, p);
}

/// Times and numbers.
fn grid(canvas: &mut Canvas<'_>, p: &Panel<'_>) {
    for (x, label) in p.clock.ticks() {
        canvas.line((x, p.top), (x, p.top + PLOT), Ink::Grid, 0.75);
        canvas.text(&label, (x, p.top + PLOT + 11.0), 10.5, Ink::Muted, Align::Middle);
    }
    let bottom = p.top + PLOT;
    let mut before = f64::NEG_INFINITY;
    for &(from, to) in &p.clock.pauses {
        let (left, right) = (p.clock.x(from), p.clock.x(to));
        // Two strokes through the axis: it is not to scale here.
        for x in [left, right].into_iter().filter(|x| x - before > 8.0) {
            canvas.line((x - 4.0, bottom + 5.0), (x, bottom - 5.0), Ink::Muted, 1.2);
            canvas.line((x, bottom + 5.0), (x + 4.0, bottom - 5.0), Ink::Muted, 1.2);
        }
        before = right;
        let words = format!("+{}", duration((to - from) as u64));
        canvas.text(&words, ((left + right) / 2.0, bottom - 12.0), 10.0, Ink::Muted, Align::Middle);
    }
    let step = nice((p.high - p.low) / 6.0).max(1.0);
    let mut at = (p.low / step).ceil() * step;
    for _ in 0..24 {
        if at > p.high {
            break;
        }
        let y = p.y(at as i64);
        canvas.line((LEFT, y), (RIGHT, y), Ink::Grid, 0.75);
        canvas.text(&number(at), (LEFT - 6.0, y), 10.5, Ink::Muted, Align::End);
        at += step;
    }
}

/// The stalls in which this direction's sender waited.
fn waited<'a>(p: &'a Panel<'_>) -> impl Iterator<Item = (f64, f64, &'a TcpStall)> + 'a {
    stalls(p.connection).iter().filter(|s| waits_in(s) == p.index).map(|s| {
        let from = s.start.saturating_sub(p.start);
        let to = from.saturating_add(i64::try_from(s.length).unwrap_or(i64::MAX));
        (p.x(from), p.x(to), s)
    })
}

fn shade(canvas: &mut Canvas<'_>, p: &Panel<'_>) {
    for (from, to, _) in waited(p) {
        canvas.rect((from, p.top), (to.max(from + 1.0), p.top + PLOT), Ink::Worst);
    }
}

/// The causes, where there is room for them.
fn labels(canvas: &mut Canvas<'_>, p: &Panel<'_>) {
    let mut ends = [f64::NEG_INFINITY; 2];
    for (from, to, stall) in waited(p) {
        let words = format!("{} {}", shorten(&stall.cause.replace('_', " "), 24), duration(stall.length));
        let half = text_width(&words, 10.0) / 2.0;
        let x = ((from + to) / 2.0).clamp(LEFT + half, RIGHT - half);
        if let Some(row) = ends.iter().position(|&end| end + 6.0 < x - half) {
            ends[row] = x + half;
            canvas.text(&words, (x, p.top + 8.0 + row as f64 * 12.0), 10.0, Ink::Bad, Align::Middle);
        }
    }
}

/// Opening, closing, resetting, closed windows.
fn marks(canvas: &mut Canvas<'_>, p: &Panel<'_>) {
    let closed: BTreeMap<i64, f64> = p
        .way
        .closed
        .iter()
        .map(|&time| {
            // Where the window line then is.
            let at = p.way.allowed.partition_point(|a| a.0 <= time);
            let line = at.checked_sub(1).and_then(|i| p.way.allowed.get(i)).map(|a| a.1);
            let acked = p.way.acked.partition_point(|a| a.0 <= time);
            let acked = acked.checked_sub(1).and_then(|i| p.way.acked.get(i)).map(|a| a.1);
            (p.x(time).round() as i64, p.y(line.or(acked).unwrap_or(0)))
        })
        .collect();
    for (x, y) in closed {
        canvas.dot((x as f64, y), 2.5, Ink::Bad);
    }
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for s in p.way.segments.iter().filter(|s| s.syn || s.fin || s.reset) {
        let (letter, ink) = match (s.reset, s.syn) {
            (true, _) => ("R", Ink::Bad),
            (_, true) => ("S", Ink::Text),
            _ => ("F", Ink::Text),
        };
        let (x, y) = (p.x(s.time), p.y(s.end()));
        if taken.len() >= LETTERS || taken.iter().any(|t| (t.0 - x).abs() < 8.0 && (t.1 - y).abs() < 8.0) {
            continue;
        }
        taken.push((x, y));
        diamond(canvas, (x, y), ink);
        let (x, align) = if x > RIGHT - 20.0 { (x - 7.0, Align::End) } else { (x + 7.0, Align::Start) };
        canvas.bold(letter, (x, y - 5.0), 10.0, ink, align);
    }
}

/// A line of steps: level until the next moment. No more than four points in each pixel.
fn steps(p: &Panel<'_>, all: &[(i64, i64)]) -> Vec<(f64, f64)> {
    let mut corners: Vec<(f64, f64)> = Vec::with_capacity(all.len() * 2);
    for &(time, number) in all {
        let (x, y) = (p.x(time), p.y(number));
        if let Some(&(_, before)) = corners.last() {
            corners.push((x, before));
        }
        corners.push((x, y));
    }
    if let Some(&(_, y)) = corners.last() {
        corners.push((RIGHT, y));
    }
    let mut out: Vec<(f64, f64)> = Vec::new();
    for group in corners.chunk_by(|a, b| a.0.round() == b.0.round()) {
        let ys = || group.iter().map(|c| c.1);
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let extremes = [ys().fold(f64::INFINITY, f64::min), ys().fold(f64::NEG_INFINITY, f64::max)];
        for point in [(first.0, first.1), (first.0, extremes[0]), (last.0, extremes[1]), (last.0, last.1)] {
            if out.last() != Some(&point) {
                out.push(point);
            }
        }
    }
    out
}

/// Bars of the same pixel that touch are one.
fn bars(all: impl Iterator<Item = (f64, f64, f64)>) -> Vec<(f64, f64, f64)> {
    let mut columns = BTreeMap::<i64, Vec<(f64, f64)>>::new();
    for (x, top, bottom) in all {
        columns.entry(x.round() as i64).or_default().push((top, bottom));
    }
    let mut out = Vec::new();
    for (x, mut column) in columns {
        column.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut joined: Vec<(f64, f64)> = Vec::new();
        for (top, bottom) in column {
            match joined.last_mut() {
                Some(last) if top <= last.1 + 0.5 => last.1 = last.1.max(bottom),
                _ => joined.push((top, bottom)),
            }
        }
        out.extend(joined.into_iter().map(|(top, bottom)| (x as f64, top, bottom)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_that_touch_in_a_pixel_are_drawn_once() {
        let all = [(10.2, 5.0, 8.0), (9.9, 8.2, 9.0), (10.0, 20.0, 22.0), (30.0, 1.0, 2.0)];
        assert_eq!(bars(all.into_iter()), [(10.0, 5.0, 9.0), (10.0, 20.0, 22.0), (30.0, 1.0, 2.0)]);
    }

    #[test]
    fn a_long_pause_is_drawn_short_and_time_goes_on_from_left_to_right() {
        let acked = [0, 1, 2, 1_000, 1_001, 1_004].map(|ms| (ms * 1_000_000, ms)).to_vec();
        let way = SequenceWay { acked, ..SequenceWay::default() };
        let s = Sequence { length: 1_004_000_000, ways: [way, SequenceWay::default()], ..Sequence::default() };
        let clock = Clock::of(&s);
        assert_eq!(clock.pauses, [(2e6, 1e9)]);
        let xs: Vec<f64> = (0..=1_004).map(|ms| clock.x(f64::from(ms) * 1e6)).collect();
        assert!(xs.windows(2).all(|w| w[0] < w[1]));
        assert!((xs[1_000] - xs[2] - Clock::PAUSE).abs() < 1e-6 && xs[1] - xs[0] > 100.0);
        assert!((xs[1_004] - RIGHT).abs() < 1e-6);
        let ticks = clock.ticks();
        assert!(ticks.windows(2).all(|w| w[1].0 - w[0].0 >= 64.0) && ticks.len() > 4, "{ticks:?}");
    }

    #[test]
    fn a_line_of_many_steps_has_few_points_and_keeps_its_extremes() {
        let way = SequenceWay { acked: (0..50_000).map(|i| (i * 1_000, i % 97)).collect(), ..SequenceWay::default() };
        let s = Sequence { length: 50_000_000, ways: [way, SequenceWay::default()], ..Sequence::default() };
        let none = Connection::default();
        let clock = Clock::of(&s);
        let p = Panel::new(&s, &none, &clock, 0, 0.0);
        let line = steps(&p, &p.way.acked);
        assert!(line.len() < 4_500, "{}", line.len());
        let low = line.iter().map(|l| l.1).fold(f64::INFINITY, f64::min);
        assert_eq!(low, p.y(96));
        assert_eq!(line.last().map(|l| l.0), Some(RIGHT));
    }
}
