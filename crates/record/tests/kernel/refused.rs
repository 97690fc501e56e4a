//! Every program refused in turn, as a kernel that lacks its hook would: its object is skipped with the reason, the others
//! run.

use std::sync::Arc;

use coldcase_model::{Columns, EventDef};
use coldcase_record::kernel::consume::Sink;
use coldcase_record::kernel::objects::SOURCES;
use coldcase_record::kernel::{Capture, Options};

struct Nowhere;

impl Sink for Nowhere {
    fn rows(&self, _: &'static EventDef, _: Columns, _: std::time::Duration) {}
}

fn names(capture: &Capture) -> Vec<&'static str> {
    capture.running().into_iter().map(|(object, _)| object).collect()
}

#[test]
fn a_program_that_is_refused_takes_its_object_out_and_no_other() {
    let options = Options { ring_bytes: 64 << 10, ..Options::default() };
    let whole = match Capture::start(&options, Arc::new(Nowhere)) {
        Ok(mut capture) => {
            let whole = names(&capture);
            assert_eq!(capture.stop(), Vec::<String>::new());
            whole
        }
        Err(skip) => {
            eprintln!("skipped: {} {}", skip.reason, skip.hint);
            return;
        }
    };
    let mut tried = 0;
    for object in SOURCES.iter().filter(|o| whole.contains(&o.name)) {
        let hooks = object.sections().into_iter().filter(|s| !s.starts_with("iter/") && !s.starts_with("perf_event"));
        for section in hooks {
            let options = Options { refuse: vec![section.clone()], ..options.clone() };
            let Ok(mut capture) = Capture::start(&options, Arc::new(Nowhere)) else {
                panic!("{section}: nothing runs")
            };
            let running = names(&capture);
            // Several objects may use the same hook: all of them are out, and say why.
            for missing in whole.iter().filter(|o| !running.contains(o)) {
                let skip = &capture.skipped.iter().find(|(o, _)| o == missing).unwrap().1;
                assert!(skip.reason.contains(&section), "{missing}: {}", skip.reason);
            }
            assert!(!running.contains(&object.name), "{}: runs without {section}", object.name);
            let user = |o: &&&str| SOURCES.iter().any(|s| s.name == **o && s.sections().contains(&section));
            assert_eq!(running.len() + whole.iter().filter(user).count(), whole.len(), "{section}: {running:?}");
            assert_eq!(capture.stop(), Vec::<String>::new(), "{section}");
            tried += 1;
        }
    }
    assert!(tried >= 10, "{tried} programs");
    eprintln!("{tried} programs refused in turn, {} objects", whole.len());
}
