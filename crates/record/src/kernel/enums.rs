//! Names of the values of enumerations, from the running kernel's type information.

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Enum;

/// The enumerations that rows refer to, and what their names begin with.
const WANTED: [(&str, &str); 2] = [("skb_drop_reason", "SKB_DROP_REASON_"), ("sk_rst_reason", "SK_RST_REASON_")];

/// Enumeration, value and name of each. Empty where the kernel has no such type.
pub(super) fn names() -> Vec<(&'static str, u32, String)> {
    let Ok(kernel) = Btf::from_vmlinux() else { return Vec::new() };
    let mut out = Vec::new();
    for (name, prefix) in WANTED {
        let Some(values) = kernel.type_by_name::<Enum<'_>>(name) else { continue };
        for member in values.iter() {
            let Some(text) = member.name.and_then(|n| n.to_str()) else { continue };
            let Ok(value) = u32::try_from(member.value) else { continue };
            out.push((name, value, text.strip_prefix(prefix).unwrap_or(text).to_lowercase()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_drops_have_names() {
        if Btf::from_vmlinux().is_err() {
            eprintln!("skipped: this kernel has no BTF");
            return;
        }
        let names = names();
        let drops: Vec<_> = names.iter().filter(|n| n.0 == "skb_drop_reason").collect();
        // Since Linux 5.17.
        assert!(drops.is_empty() || drops.iter().any(|n| n.2 == "no_socket"), "{drops:?}");
    }
}
