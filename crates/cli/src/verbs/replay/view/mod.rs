//! The live view of a replay in the terminal: the clock, rates by stream, the slow spans of the moment, and what happened last.

mod choice;
mod draw;
mod model;

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coldcase_model::Utc;
use coldcase_model::text::visible;
use coldcase_replay::control::Shared;
use coldcase_replay::pace::SPEEDS;
use coldcase_replay::{Control, Event, Item, Round, Sink, SinkError, SinkReport, Speed, Status, Stop, Wants};
use coldcase_timeline::{Body, Entry, StreamSet, Timeline};
use crossbeam_channel::{RecvTimeoutError, Sender};
use ratatui::crossterm::event::{self, Event as Key, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use model::{Line, Model, Span};

use super::steering::Steering;
use crate::exit::Failure;

/// Time between two pictures.
const FRAME: Duration = Duration::from_millis(100);
/// How far one key goes, nanoseconds of the recording.
const NEAR: i64 = 1_000_000_000;
const FAR: i64 = 10 * NEAR;

/// Writes the line of an entry, as `timeline` has it.
pub(super) type Describe = fn(&Timeline, &Entry, &mut String);

/// From where it is played again after its end, and how fast if not as before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Again {
    pub(super) from: Utc,
    pub(super) speed: Option<Speed>,
}

/// What is shown, filled by the sink and drawn from the terminal's thread.
#[derive(Clone)]
pub(super) struct View {
    model: Arc<Mutex<Model>>,
    look: draw::Look,
}

impl View {
    /// Whether there is a terminal to show it on.
    pub(super) fn is_possible() -> bool {
        std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
    }

    /// Of a bundle and the part of it that is played.
    pub(super) fn new(t: &Timeline, window: (Utc, Utc), color: bool) -> View {
        let path = t.bundle().path();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let look = draw::Look { name: visible(&name).into_owned(), color };
        View { model: Arc::new(Mutex::new(Model::new(window.0, window.1))), look }
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        // Whoever panicked with it left plain values behind.
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sink that fills it with the entries of these streams.
    pub(super) fn sink(&self, t: &Timeline, streams: StreamSet, describe: Describe) -> Box<dyn Sink> {
        let arch = t.bundle().manifest().map_or("x86_64", |m| m.host.arch.as_str()).to_owned();
        let report = SinkReport { sink: "view".into(), to: "terminal".into(), unit: "events", ..SinkReport::default() };
        Box::new(Filler { view: self.clone(), streams, describe, arch, newest: Utc(i64::MIN), report })
    }

    /// Shows it while `play` plays from a time on, or from the start; with `again`, also when it was asked to go back after the end.
    /// Returns once the user has left. Signals and the end are told by `steering`.
    ///
    /// # Errors
    /// What `play` gives, or when the terminal cannot be drawn on.
    pub(super) fn around<T>(
        &self,
        steering: &Steering,
        again: bool,
        mut play: impl FnMut(Option<Again>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        std::thread::scope(|scope| {
            let shown = scope.spawn(|| self.run(steering.status(), &steering.sender(), steering.stop()));
            let (mut from, mut speed) = (None, None);
            let played = loop {
                let played = play(from.take().map(|from| Again { from, speed }));
                if played.is_err() {
                    // What is wrong can only be read when the view has gone.
                    steering.stop().set();
                }
                while from.is_none() && !steering.stop().is_set() {
                    match steering.control().recv_timeout(FRAME) {
                        Ok(Control::Seek(utc)) if again => from = Some(utc),
                        Ok(Control::Speed(other)) => speed = Some(other),
                        Ok(Control::Quit) | Err(RecvTimeoutError::Disconnected) => steering.stop().set(),
                        _ => {}
                    }
                }
                if from.is_none() {
                    break played;
                }
            };
            let shown = shown.join().unwrap_or_else(|_| Err(Failure::failed("the view ended early: a bug")));
            played.and_then(|played| shown.map(|()| played))
        })
    }

    /// Draws and listens to the keys until the replay is over and the user leaves. The terminal is as before when it returns.
    ///
    /// # Errors
    /// When the terminal cannot be drawn on.
    fn run(&self, status: &Shared, control: &Sender<Control>, stop: &Stop) -> Result<(), Failure> {
        let mut terminal = ratatui::try_init()?;
        let shown = loop {
            let now = status.get();
            if let Err(error) = terminal.draw(|frame| draw::draw(frame, &self.lock(), &now, &self.look)) {
                break Err(error);
            }
            if stop.is_set() {
                break Ok(());
            }
            match event::poll(FRAME) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => break Err(error),
            }
            match event::read() {
                Ok(Key::Key(key)) if key.kind != KeyEventKind::Release => match said(key, &now) {
                    Some(Control::Quit) => break Ok(()),
                    Some(said) => {
                        // Who is not heard, because a sink holds the replay up, presses again.
                        let _ = control.try_send(said);
                    }
                    None => {}
                },
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        // Both are tried: what is wrong with the terminal is told by the first.
        let restored = ratatui::try_restore();
        stop.set();
        let _ = control.try_send(Control::Quit);
        Ok(shown.and(restored)?)
    }
}

/// What a key means.
fn said(key: KeyEvent, now: &Status) -> Option<Control> {
    let seek = |by: i64| {
        let to = now.position.0.saturating_add(by).clamp(now.window.0.0, now.window.1.0);
        Some(Control::Seek(Utc(to)))
    };
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Control::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Control::Quit),
        KeyCode::Char(' ') => match (now.paused, now.speed) {
            (_, Some(Speed::Step)) => Some(Control::Speed(Speed::Times(1.0))),
            (true, _) => Some(Control::Resume),
            (false, _) => Some(Control::Pause),
        },
        KeyCode::Char('.') => Some(Control::Step),
        KeyCode::Left | KeyCode::Char('h') => seek(-NEAR),
        KeyCode::Right | KeyCode::Char('l') => seek(NEAR),
        KeyCode::PageUp => seek(-FAR),
        KeyCode::PageDown => seek(FAR),
        KeyCode::Home => Some(Control::Seek(now.window.0)),
        KeyCode::Char('+' | '=') => faster(now.speed, 2.0),
        KeyCode::Char('-') => faster(now.speed, 0.5),
        _ => None,
    }
}

/// The next speed up or down; from `max` and `step` back to the pace that it happened at.
fn faster(speed: Option<Speed>, by: f64) -> Option<Control> {
    let factor = speed.and_then(Speed::factor).map_or(1.0, |factor| (factor * by).clamp(SPEEDS.0, SPEEDS.1));
    Speed::times(factor).map(Control::Speed)
}

/// Fills the view.
struct Filler {
    view: View,
    streams: StreamSet,
    describe: Describe,
    arch: String,
    newest: Utc,
    report: SinkReport,
}

impl Sink for Filler {
    fn wants(&self) -> Wants {
        Wants { entries: self.streams.clone(), messages: StreamSet::None }
    }

    fn begin(&mut self, _: &Round) -> Result<(), SinkError> {
        self.view.lock().clear();
        Ok(())
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let Item::Entry(entry) = event.item else { return Ok(()) };
        self.report.taken += 1;
        self.report.sent += 1;
        let mut text = String::new();
        let sort = choice::choose(entry, &self.arch);
        if sort.is_some() {
            (self.describe)(event.timeline, entry, &mut text);
        }
        let mut model = self.view.lock();
        // Back in time: what was shown is yet to come.
        if entry.utc < self.newest {
            model.clear();
        }
        self.newest = entry.utc;
        model.count(&entry.stream, entry.utc);
        if let Body::Span(s) = &entry.body {
            let text = visible(&format!("{} {}", s.span.service(), s.span.name)).into_owned();
            let failed = sort.is_some();
            model.span(Span { start: entry.utc, end: entry.end, failed, text });
        }
        if let Some(sort) = sort {
            model.happened(Line { utc: entry.utc, sort, text });
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<SinkReport, SinkError> {
        Ok(self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn keys_say_what_the_last_line_of_the_view_tells() {
        let now = Status {
            window: (Utc(0), Utc(5 * NEAR)),
            position: Utc(2 * NEAR),
            speed: Some(Speed::Times(1.0)),
            ..Status::default()
        };
        let paused = Status { paused: true, ..now.clone() };
        assert_eq!(said(key(KeyCode::Char(' ')), &now), Some(Control::Pause));
        assert_eq!(said(key(KeyCode::Char(' ')), &paused), Some(Control::Resume));
        assert_eq!(said(key(KeyCode::Left), &now), Some(Control::Seek(Utc(NEAR))));
        assert_eq!(said(key(KeyCode::PageDown), &now), Some(Control::Seek(Utc(5 * NEAR))));
        assert_eq!(said(key(KeyCode::Char('+')), &now), Some(Control::Speed(Speed::Times(2.0))));
        assert_eq!(said(key(KeyCode::Char('q')), &now), Some(Control::Quit));
        assert_eq!(said(key(KeyCode::Char('x')), &now), None);
    }
}
