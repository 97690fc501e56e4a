//! Blocks of pcapng (draft-ietf-opsawg-pcapng), written and told apart.

/// Type of a section header, alike in both byte orders.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// The byte order mark as a little-endian file has it.
const LITTLE: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];

/// What a block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Begins a section.
    Header,
    /// Describes an interface.
    Interface,
    /// Anything else.
    Other,
}

/// The role of a block in a section that begins with `preamble`.
pub(super) fn role(block: &[u8], preamble: &[u8]) -> Role {
    if block.starts_with(&SECTION) {
        return Role::Header;
    }
    let one: [u8; 4] = if preamble.get(8..12) == Some(&LITTLE) { [1, 0, 0, 0] } else { [0, 0, 0, 1] };
    if block.starts_with(&one) { Role::Interface } else { Role::Other }
}

/// A section header that does not tell how long its section is: it is another's now.
pub(super) fn without_length(header: &[u8]) -> Vec<u8> {
    let mut out = header.to_vec();
    if let Some(length) = out.get_mut(16..24) {
        length.fill(0xff);
    }
    out
}

/// Header and interface description for packets of one link type, in nanoseconds.
pub(super) fn preamble(link: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let mut header = LITTLE.to_vec();
    header.extend([1, 0, 0, 0]);
    header.extend([0xff; 8]);
    block(&mut out, u32::from_le_bytes(SECTION), &header);
    let mut interface = link.to_le_bytes().to_vec();
    // No limit of length; option `if_tsresol`: 9; the end of the options.
    interface.extend([0; 6]);
    interface.extend([9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    block(&mut out, 1, &interface);
    out
}

/// An enhanced packet block.
pub(super) fn packet(out: &mut Vec<u8>, time: i64, original: u32, bytes: &[u8]) {
    let time = time as u64;
    let padded = bytes.len().next_multiple_of(4);
    let total = (32 + padded) as u32;
    let words = [6, total, 0, (time >> 32) as u32, time as u32, bytes.len() as u32, original];
    words.into_iter().for_each(|w: u32| out.extend(w.to_le_bytes()));
    out.extend_from_slice(bytes);
    out.resize(out.len() + padded - bytes.len(), 0);
    out.extend(total.to_le_bytes());
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let total = (12 + body.len()) as u32;
    out.extend(kind.to_le_bytes());
    out.extend(total.to_le_bytes());
    out.extend_from_slice(body);
    out.extend(total.to_le_bytes());
}
