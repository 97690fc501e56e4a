//! Names of the recorded kernel's enumerations: reasons of drops and resets.

use std::collections::HashMap;

use coldcase_model::{Event, events};

use crate::segment::Segment;

/// What the values of the recorded kernel's enumerations are called.
#[derive(Debug, Default)]
pub struct EnumNames(HashMap<(String, u32), String>);

impl EnumNames {
    /// From segments of `host.enum`.
    pub(crate) fn new(segments: &[Segment]) -> EnumNames {
        let mut out = HashMap::new();
        for cols in segments.iter().filter_map(|s| events::EnumName::cols(&s.columns).ok()) {
            for i in 0..cols.time.len() {
                out.insert((cols.name.text(i).into_owned(), cols.value[i]), cols.text.text(i).into_owned());
            }
        }
        EnumNames(out)
    }

    /// The name of a value: `tcp_listen_overflow`. `not told` where the kernel gave none (all ones).
    pub fn name(&self, enumeration: &str, value: u32) -> String {
        match self.0.get(&(enumeration.to_owned(), value)) {
            Some(name) => name.clone(),
            None if value == u32::MAX => "not told".to_owned(),
            None => format!("reason {value}"),
        }
    }
}
