//! The values of the moment, to be scraped while the replay runs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use coldcase_model::Utc;
use tokio::sync::oneshot;

use super::family::{Family, is_plain, write_series, write_value};
use super::samples::{Pages, Read, read};
use crate::sink::{Event, Item, Sink, SinkError, SinkReport, Wants};

/// The latest value of each series, by the family that it stands in.
type Values = BTreeMap<(Family, String), f64>;

#[derive(Default)]
struct Moment {
    /// By target; what was pushed is under the empty name.
    origins: HashMap<String, Values>,
    /// Where the replay is.
    at: Utc,
    bundle: String,
}

/// Serves `/metrics`.
pub struct Exposition {
    moment: Arc<Mutex<Moment>>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pages: Pages,
    report: SinkReport,
}

impl Exposition {
    /// Listens on an address; port 0 takes any that is free. What is served names the bundle.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub fn listen(at: SocketAddr, bundle: &str, pages: Pages) -> Result<Exposition, SinkError> {
        let failed = |source| SinkError::Io { to: at.to_string(), source };
        let listener = std::net::TcpListener::bind(at).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let moment = Arc::new(Mutex::new(Moment { bundle: bundle.to_owned(), ..Moment::default() }));
        let app = Router::new().route("/metrics", get(page)).with_state(moment.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(_) => return,
            };
            tokio::select! {
                _ = async { axum::serve(listener, app).await } => {}
                // An error says that the sink is gone.
                _ = stopped => {}
            }
        };
        let thread = std::thread::Builder::new()
            .name("cc-replay-expose".into())
            .spawn(move || runtime.block_on(serve))
            .map_err(failed)?;
        let to = format!("http://{address}/metrics");
        let report = SinkReport { sink: "exposition".into(), to, unit: "samples", ..SinkReport::default() };
        Ok(Exposition { moment, address, stop: Some(stop), thread: Some(thread), pages, report })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn put(&mut self, read: Read, at: Utc) {
        let mut moment = lock(&self.moment);
        moment.at = at;
        let pushed = read.origin.is_none();
        let values = moment.origins.entry(read.origin.as_deref().unwrap_or("").to_owned()).or_default();
        if !pushed {
            // What is not on the new page is gone.
            values.clear();
        }
        for out in &read.samples {
            if !is_plain(out) {
                self.report.unsupported += 1;
                self.report.reason("names that need quotes are not served");
                continue;
            }
            let mut series = String::new();
            write_series(out, &mut series);
            let key = (Family::of(&out.sample.name, &out.sample.kind), series);
            self.report.sent += 1;
            match out.sample.is_stale() {
                true => _ = values.remove(&key),
                false => _ = values.insert(key, out.sample.value),
            }
        }
    }
}

fn lock(moment: &Mutex<Moment>) -> MutexGuard<'_, Moment> {
    moment.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn page(State(moment): State<Arc<Mutex<Moment>>>, headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let open = accepts.contains("application/openmetrics-text");
    let media = match open {
        true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        false => "text/plain; version=0.0.4; charset=utf-8",
    };
    ([(header::CONTENT_TYPE, media)], lock(&moment).text(open)).into_response()
}

impl Moment {
    /// The page, in OpenMetrics or the older text format.
    fn text(&self, open: bool) -> String {
        let mut families = BTreeMap::<&str, (&'static str, Vec<(&str, f64)>)>::new();
        let mut all: Vec<_> = self.origins.values().flatten().collect();
        all.sort_by_key(|(key, _)| *key);
        for ((family, series), value) in all {
            // Sources that disagree on the type of a name: it is not known.
            let entry = families.entry(family.name.as_str()).or_insert((family.kind, Vec::new()));
            if entry.0 != family.kind {
                entry.0 = "unknown";
            }
            entry.1.push((series.as_str(), *value));
        }
        let mut out = String::new();
        _ = writeln!(out, "# TYPE coldcase_replay {}", if open { "info" } else { "gauge" });
        _ = writeln!(out, "coldcase_replay_info{{bundle=\"{}\"}} 1", self.bundle);
        _ = writeln!(out, "# TYPE coldcase_replay_position_seconds gauge");
        _ = writeln!(
            out,
            "coldcase_replay_position_seconds {}.{:09}",
            self.at.0.max(0) / 1_000_000_000,
            self.at.0.max(0) % 1_000_000_000
        );
        for (name, (kind, series)) in families {
            // The older format names the sample of a counter, and knows fewer types.
            let (name, kind) = match (open, kind) {
                (true, kind) => (name.to_owned(), kind),
                (false, "counter") => (format!("{name}_total"), "counter"),
                (false, kind @ ("gauge" | "histogram" | "summary")) => (name.to_owned(), kind),
                (false, _) => (name.to_owned(), "untyped"),
            };
            _ = writeln!(out, "# TYPE {name} {kind}");
            for (series, value) in series {
                out.push_str(series);
                out.push(' ');
                write_value(value, &mut out);
                out.push('\n');
            }
        }
        if open {
            out.push_str("# EOF\n");
        }
        out
    }
}

impl Sink for Exposition {
    fn wants(&self) -> Wants {
        super::wants()
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let Item::Message(message) = event.item else { return Ok(()) };
        self.report.taken += 1;
        // The page says by itself what it is.
        let read = read(message, &self.pages, event.round, None).into_text();
        self.report.unsupported += read.unsupported;
        read.why.iter().for_each(|why| self.report.reason(why));
        self.put(read, message.utc);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<SinkReport, SinkError> {
        if let Some(stop) = self.stop.take() {
            // Nobody listens only when the server has ended already.
            let _ = stop.send(());
        }
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            self.report.reason("the server ended early: a bug");
        }
        Ok(self.report)
    }
}
