//! Block devices by number: what the host called them.

use std::borrow::Cow;
use std::collections::HashMap;

use coldcase_model::{Event, events};

use crate::segment::Segment;

/// Names of block devices.
#[derive(Debug, Default)]
pub struct Devices {
    names: HashMap<u32, String>,
}

impl Devices {
    /// Learns from segments of `host.device`.
    pub(crate) fn new(devices: &[Segment]) -> Devices {
        let mut names = HashMap::new();
        for cols in devices.iter().filter_map(|s| events::Device::cols(&s.columns).ok()) {
            for (i, &dev) in cols.dev.iter().enumerate() {
                names.insert(dev, cols.name.text(i).into_owned());
            }
        }
        Devices { names }
    }

    /// The device of a number (major << 20 | minor): `vda`, or `254:0` where the bundle does not name it. Hostile, as
    /// all captured text.
    pub fn name(&self, dev: u32) -> Cow<'_, str> {
        match self.names.get(&dev) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("{}:{}", dev >> 20, dev & 0xf_ffff)),
        }
    }
}

#[cfg(test)]
mod tests {
    use coldcase_model::Columns;

    use super::*;

    #[test]
    fn a_device_has_its_name_or_else_its_number() {
        let mut rows = Columns::new(&events::Device::DEF);
        events::Device { dev: 254 << 20, name: "vda".into(), ..Default::default() }.push(&mut rows);
        let devices = Devices::new(&[Segment::new(0, rows)]);
        assert_eq!(devices.name(254 << 20), "vda");
        assert_eq!(devices.name(8 << 20 | 16), "8:16");
    }
}
