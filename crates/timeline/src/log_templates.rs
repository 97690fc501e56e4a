//! Kinds of log lines: the templates of everything that was logged, mined on all cores.

use std::borrow::Cow;

use coldcase_decode::log::template::{BLOCK, Miner, TemplateId};
use coldcase_decode::log::{Severity, message};
use coldcase_decode::otlp::TraceId;
use coldcase_model::Utc;
use rayon::prelude::*;

use crate::timeline::Timeline;

/// Something that was logged: a line of a file or a record of OTLP.
#[derive(Debug, Clone, Copy)]
pub struct Logged<'a> {
    /// Its stream.
    pub stream: &'static str,
    /// Its row in that.
    pub row: u64,
    /// When.
    pub utc: Utc,
    /// Its severity, where it tells one.
    pub severity: Option<Severity>,
    /// The trace that it belongs to, where it tells one.
    pub trace: Option<TraceId>,
    /// The file or the service.
    pub origin: &'a str,
    text: &'a [u8],
}

impl<'a> Logged<'a> {
    /// What it says, invalid UTF-8 replaced. Hostile: escape before showing.
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.text)
    }
}

/// A template and its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTemplate {
    /// What its lines have in common. Hostile, as they are.
    pub pattern: String,
    /// Lines.
    pub count: u64,
    /// When the first was logged.
    pub first: Utc,
    /// When the last was.
    pub last: Utc,
    /// Lines of each severity, by [`Severity`]'s order; the last are those that tell none.
    pub severities: [u64; SEVERITIES],
    /// The first of its lines, as a place in [`LogTemplates::logged`].
    pub example: usize,
}

/// How many severities there are, and none.
pub const SEVERITIES: usize = Severity::ALL.len() + 1;

impl LogTemplate {
    /// Lines of a severity.
    pub fn of(&self, severity: Severity) -> u64 {
        self.severities[severity as usize]
    }

    /// Lines that tell no severity.
    pub fn untold(&self) -> u64 {
        self.severities[SEVERITIES - 1]
    }

    /// The highest severity of its lines.
    pub fn worst(&self) -> Option<Severity> {
        Severity::ALL.into_iter().filter(|s| self.of(*s) > 0).max()
    }
}

/// Everything that was logged, by template.
#[derive(Debug)]
pub struct LogTemplates<'a> {
    /// Lines by row, then records by stream and row.
    pub logged: Vec<Logged<'a>>,
    /// The templates, those of most lines first.
    pub templates: Vec<LogTemplate>,
    /// Of each of `logged` its place in `templates`; `None` beyond the miner's bound.
    pub of: Vec<Option<u32>>,
    /// How many have none.
    pub overflow: u64,
}

impl Timeline {
    /// Mines the templates of all lines and records that are loaded. The same bundle gives the same templates, whatever
    /// the number of threads: blocks of fixed size are mined each for itself and merged in their order.
    pub fn log_templates(&self) -> LogTemplates<'_> {
        let lines = self.lines().iter().map(|l| Logged {
            stream: "log.lines",
            row: l.row,
            utc: l.utc,
            severity: l.fields.severity,
            trace: l.fields.trace,
            origin: &l.path,
            text: &l.line,
        });
        let records = self.records().iter().map(|r| Logged {
            stream: r.stream,
            row: r.row,
            utc: r.utc,
            severity: r.record.severity,
            trace: r.record.trace,
            origin: &r.record.resource.service,
            text: r.record.body.as_bytes(),
        });
        let logged: Vec<Logged<'_>> = lines.chain(records).collect();
        let mined: Vec<(Miner, Vec<TemplateId>)> = self.install(|| logged.par_chunks(BLOCK).map(mine).collect());
        let mut all = Miner::default();
        let mut ids = Vec::with_capacity(logged.len());
        for (miner, of_block) in mined {
            let here = all.merge(&miner);
            ids.extend(of_block.iter().map(|id| here[id.0 as usize]));
        }
        gather(logged, &all, &ids)
    }
}

fn mine(block: &[Logged<'_>]) -> (Miner, Vec<TemplateId>) {
    let mut miner = Miner::default();
    let ids = block.iter().map(|logged| miner.add(&message::of(logged.text))).collect();
    (miner, ids)
}

/// Adds up the lines of each template and puts those of most lines first.
fn gather<'a>(logged: Vec<Logged<'a>>, miner: &Miner, ids: &[TemplateId]) -> LogTemplates<'a> {
    let mut templates: Vec<LogTemplate> = miner
        .templates()
        .map(|(_, template)| LogTemplate {
            pattern: template.pattern(),
            count: 0,
            first: Utc(i64::MAX),
            last: Utc(i64::MIN),
            severities: [0; SEVERITIES],
            example: usize::MAX,
        })
        .collect();
    for (i, (line, id)) in logged.iter().zip(ids).enumerate() {
        let Some(template) = (id.0 as usize).checked_sub(1).and_then(|at| templates.get_mut(at)) else { continue };
        template.count += 1;
        template.last = template.last.max(line.utc);
        template.severities[line.severity.map_or(SEVERITIES - 1, |s| s as usize)] += 1;
        if template.count == 1 || line.utc < template.first {
            (template.first, template.example) = (line.utc, i);
        }
    }
    let mut order: Vec<u32> = (0..templates.len() as u32).filter(|&at| templates[at as usize].count > 0).collect();
    // In the order of their first lines where they have the same number of them.
    order.sort_by_key(|&at| std::cmp::Reverse(templates[at as usize].count));
    let mut places = vec![None; templates.len()];
    for (place, &at) in order.iter().enumerate() {
        places[at as usize] = Some(place as u32);
    }
    let of = ids.iter().map(|id| (id.0 as usize).checked_sub(1).and_then(|at| places[at])).collect();
    let templates = order.iter().map(|&at| templates[at as usize].clone()).collect();
    LogTemplates { logged, templates, of, overflow: miner.overflow() }
}
