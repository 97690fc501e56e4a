//! Pressure stall information, from `/proc/pressure`.

use super::{Condition, Edge, Met, Rule, lasting};

/// Which figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::flight) struct Place {
    resource: String,
    share: String,
    field: String,
}

impl Place {
    /// Reads `cpu:some:avg10`.
    pub(in crate::flight) fn parse(text: &str) -> Result<Place, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [resource, share, field] = parts[..] else { return Err(format!("'{text}' is not like cpu:some:avg10")) };
        for (part, known) in [
            (resource, &["cpu", "io", "memory", "irq"][..]),
            (share, &["some", "full"]),
            (field, &["avg10", "avg60", "avg300"]),
        ] {
            if !known.contains(&part) {
                return Err(format!("'{part}' is none of {}", known.join(" ")));
            }
        }
        Ok(Place { resource: resource.to_owned(), share: share.to_owned(), field: field.to_owned() })
    }

    /// The figure in a file of `/proc/pressure`.
    fn find(&self, text: &str) -> Option<f64> {
        let line = text.lines().find(|l| l.split(' ').next() == Some(&self.share))?;
        line.split(' ').find_map(|w| w.strip_prefix(&*self.field)?.strip_prefix('=')?.parse().ok())
    }
}

/// See the module.
pub(super) struct Psi {
    place: Place,
    level: f64,
    below: bool,
    lasting: u64,
    edge: Edge,
}

impl Psi {
    pub(super) fn new(rule: &Rule) -> Option<Psi> {
        Some(Psi {
            place: Place::parse(rule.pattern.as_deref()?).ok()?,
            level: rule.level()?,
            below: rule.below,
            lasting: lasting(rule),
            edge: Edge::default(),
        })
    }
}

impl Condition for Psi {
    fn look(&mut self, now: u64, met: &mut dyn FnMut(Met)) {
        let Ok(text) = std::fs::read_to_string(format!("/proc/pressure/{}", self.place.resource)) else { return };
        let Some(value) = self.place.find(&text) else { return };
        let holds = if self.below { value < self.level } else { value > self.level };
        if self.edge.update(holds, now, self.lasting) {
            let Place { resource, share, field } = &self.place;
            met(Met { time: now, value, text: format!("{resource}:{share}:{field}").into_bytes(), pid: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_figure_is_found_by_its_line_and_its_name() {
        let text = "some avg10=1.50 avg60=2.25 avg300=0.10 total=7\nfull avg10=0.00 avg60=9.00 avg300=0.00 total=0\n";
        assert_eq!(Place::parse("io:some:avg60").unwrap().find(text), Some(2.25));
        assert_eq!(Place::parse("io:full:avg60").unwrap().find(text), Some(9.0));
        assert_eq!(Place::parse("io:full:avg10").unwrap().find("some avg10=1.00"), None);
    }
}
