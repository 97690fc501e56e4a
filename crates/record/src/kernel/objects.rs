//! The compiled BPF objects, built in by `build.rs`.

use libbpf_rs::ObjectBuilder;
use libbpf_rs::btf::Btf;

/// A compiled `bpf/<name>.bpf.c`.
#[derive(Clone, Copy)]
pub struct Object {
    /// The file's name: `sched`. Its source is `kernel.<name>`, its class has the same name.
    pub name: &'static str,
    aligned: &'static Aligned<[u8]>,
}

impl Object {
    /// The ELF file.
    pub fn bytes(&self) -> &'static [u8] {
        &self.aligned.0
    }

    /// The sections of its programs: where each attaches. Empty when the object cannot be read, which none of ours is.
    pub fn sections(&self) -> Vec<String> {
        let open = ObjectBuilder::default().open_memory(self.bytes());
        open.map_or(Vec::new(), |o| o.progs().map(|p| p.section().to_string_lossy().into_owned()).collect())
    }

    /// Its type information. `None` when it has none, which no object of ours does.
    pub fn btf(&self) -> Option<Btf<'static>> {
        Btf::from_raw(self.name, self.bytes()).ok().flatten()
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes().len())
    }
}

/// ELF readers want their file aligned.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

include!(concat!(env!("OUT_DIR"), "/objects.rs"));

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use coldcase_model::catalogue::CATALOGUE;
    use coldcase_model::header::snake_case;
    use coldcase_model::{Class, Layout};
    use libbpf_rs::btf::types::{Composite, MemberAttr};

    use super::SOURCES;

    #[test]
    fn every_object_is_of_a_class_and_every_kernel_event_of_an_object() {
        for object in SOURCES {
            assert!(Class::ALL.iter().any(|c| c.name() == object.name), "{object:?}");
        }
        for def in CATALOGUE.iter().filter(|d| matches!(d.layout, Layout::Kernel { .. })) {
            assert!(SOURCES.iter().any(|o| o.name == def.class.name()), "{}", def.name);
        }
    }

    #[test]
    fn btf_offsets_equal_the_field_table() {
        for def in CATALOGUE {
            let Layout::Kernel { size } = def.layout else { continue };
            let object = SOURCES.iter().find(|o| o.name == def.class.name()).unwrap();
            let btf = object.btf().unwrap();
            let name = format!("cc_{}", snake_case(def.name));
            let layout: Composite<'_> = btf.type_by_name(&name).unwrap_or_else(|| panic!("{name} not in {object:?}"));
            assert_eq!(layout.iter().count(), def.fields.len() + 1, "{name}");
            for (member, field) in layout.iter().skip(1).zip(def.fields) {
                assert_eq!(member.name.unwrap().to_string_lossy(), field.name, "{name}");
                let MemberAttr::Normal { offset } = member.attr else { panic!("{name}.{}: a bit field", field.name) };
                assert_eq!(offset as usize, field.offset * 8, "{name}.{}", field.name);
            }
            let last = def.fields.last().unwrap();
            assert_eq!(size, last.offset + last.ty.kernel_size().unwrap(), "{name}");
        }
    }
}
