//! Integers as fixed-width blocks: frame of reference or deltas, in byte planes. See formats/bundle.md, "ints".

/// Values per block; the last block of a column may hold fewer.
pub(crate) const BLOCK: usize = 256;

/// Set in a block's tag when it holds deltas.
const DELTA: u8 = 0x10;

/// An integer type of a column, as the order-preserving unsigned number that the format stores.
pub(crate) trait Int: Copy {
    /// To the stored form.
    fn to_wire(self) -> u64;
    /// From the stored form; what does not fit is cut.
    fn from_wire(wire: u64) -> Self;
}

macro_rules! int {
    ($($ty:ty: |$v:ident| $to:expr, |$w:ident| $from:expr);* $(;)?) => {$(
        impl Int for $ty {
            #[inline(always)]
            fn to_wire(self) -> u64 {
                let $v = self;
                $to
            }
            #[inline(always)]
            fn from_wire($w: u64) -> Self {
                $from
            }
        }
    )*};
}
int! {
    u8: |v| u64::from(v), |w| w as u8;
    u16: |v| u64::from(v), |w| w as u16;
    u32: |v| u64::from(v), |w| w as u32;
    u64: |v| v, |w| w;
    i32: |v| u64::from(v as u32 ^ (1 << 31)), |w| (w as u32 ^ (1 << 31)) as i32;
    i64: |v| v as u64 ^ (1 << 63), |w| (w ^ (1 << 63)) as i64;
}

/// How a block's values follow from its offsets.
#[derive(Clone, Copy)]
struct Head {
    /// Bytes of an offset.
    width: usize,
    /// What is added to each offset; in a block of deltas, the first value.
    base: u64,
    /// In a block of deltas, what is added to each on top of the value before.
    low: Option<u64>,
}

/// Appends `values`: the heads of all blocks, then byte 0 of all offsets, byte 1, and so on to the widest.
pub(crate) fn encode<T: Int>(values: impl Iterator<Item = T>, out: &mut Vec<u8>) {
    let mut offsets: Vec<u64> = values.map(T::to_wire).collect();
    let mut widths = Vec::with_capacity(offsets.len() / BLOCK + 1);
    for block in offsets.chunks_mut(BLOCK) {
        let head = reduce(block);
        out.push(head.width as u8 | if head.low.is_some() { DELTA } else { 0 });
        out.extend_from_slice(&head.base.to_le_bytes());
        out.extend(head.low.iter().flat_map(|low| low.to_le_bytes()));
        widths.push(head.width);
    }
    // Like stands beside like: zstd then finds a table for each plane.
    for plane in 0..widths.iter().copied().max().unwrap_or(0) {
        for (block, _) in offsets.chunks(BLOCK).zip(&widths).filter(|(_, width)| **width > plane) {
            out.extend(block.iter().map(|v| (v >> (8 * plane)) as u8));
        }
    }
}

/// Bytes needed for a number; 0 for 0.
fn width(n: u64) -> usize {
    8 - n.leading_zeros() as usize / 8
}

/// Turns the values of a block into offsets, by whichever way makes them narrower.
fn reduce(values: &mut [u64]) -> Head {
    let (mut min, mut max) = (values[0], values[0]);
    for &v in values.iter() {
        min = min.min(v);
        max = max.max(v);
    }
    let plain = width(max - min);
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for pair in values.windows(2) {
        let delta = pair[1].wrapping_sub(pair[0]) as i64;
        low = low.min(delta);
        high = high.max(delta);
    }
    let deltas = if values.len() > 1 { width(high.wrapping_sub(low) as u64) } else { 8 };
    // The head of a block of deltas is eight bytes longer.
    if deltas * values.len() + 8 >= plain * values.len() {
        values.iter_mut().for_each(|v| *v -= min);
        return Head { width: plain, base: min, low: None };
    }
    let (base, low) = (values[0], low as u64);
    let mut before = base.wrapping_sub(low);
    for v in values.iter_mut() {
        let offset = v.wrapping_sub(before).wrapping_sub(low);
        before = *v;
        *v = offset;
    }
    Head { width: deltas, base, low: Some(low) }
}

/// Decodes exactly `count` values, which must fill `bytes` to its end.
pub(crate) fn decode<T: Int>(bytes: &[u8], count: usize) -> Result<Vec<T>, &'static str> {
    let blocks = count.div_ceil(BLOCK);
    // Every block takes at least its head: a claimed count cannot make us allocate for what is not there.
    if bytes.len() < blocks * 9 {
        return Err("too short for its rows");
    }
    let mut heads = Vec::with_capacity(blocks);
    let mut rest = bytes;
    for _ in 0..blocks {
        heads.push(head(&mut rest)?);
    }
    let rows = |block: usize| (count - block * BLOCK).min(BLOCK);
    // Where each plane begins.
    let mut at = [0usize; 9];
    for (block, head) in heads.iter().enumerate() {
        at[1..=head.width].iter_mut().for_each(|a| *a += rows(block));
    }
    for plane in 1..9 {
        at[plane] += at[plane - 1];
    }
    if rest.len() != at[8] {
        return Err("of another length than its rows");
    }
    let mut out = Vec::with_capacity(count);
    let mut offsets = [0u64; BLOCK];
    for (block, head) in heads.iter().enumerate() {
        let offsets = &mut offsets[..rows(block)];
        join(rest, &mut at, head.width, offsets);
        match head.low {
            None => out.extend(offsets.iter().map(|o| T::from_wire(head.base.wrapping_add(*o)))),
            Some(low) => {
                let mut value = head.base.wrapping_sub(low);
                out.extend(offsets.iter().map(|o| {
                    value = value.wrapping_add(low).wrapping_add(*o);
                    T::from_wire(value)
                }));
            }
        }
    }
    Ok(out)
}

fn word(rest: &mut &[u8]) -> Result<u64, &'static str> {
    let (word, after) = rest.split_first_chunk::<8>().ok_or("ends within a block")?;
    *rest = after;
    Ok(u64::from_le_bytes(*word))
}

fn head(rest: &mut &[u8]) -> Result<Head, &'static str> {
    let (&tag, after) = rest.split_first().ok_or("ends within a block")?;
    *rest = after;
    let width = usize::from(tag & 0x0f);
    if width > 8 || tag & 0xe0 != 0 {
        return Err("unknown block tag");
    }
    let base = word(rest)?;
    let low = if tag & DELTA == 0 { None } else { Some(word(rest)?) };
    Ok(Head { width, base, low })
}

/// Puts the offsets of one block together from its planes, and moves on in each. The caller checked that they are there.
fn join(planes: &[u8], at: &mut [usize; 9], width: usize, offsets: &mut [u64]) {
    fn of<const W: usize>(planes: &[u8], at: &mut [usize; 9], offsets: &mut [u64]) {
        let n = offsets.len();
        let parts: [&[u8]; W] = std::array::from_fn(|p| &planes[at[p]..at[p] + n]);
        for (i, offset) in offsets.iter_mut().enumerate() {
            let mut joined = 0;
            for (p, part) in parts.iter().enumerate() {
                joined |= u64::from(part[i]) << (8 * p);
            }
            *offset = joined;
        }
        at[..W].iter_mut().for_each(|a| *a += n);
    }
    match width {
        0 => offsets.fill(0),
        1 => of::<1>(planes, at, offsets),
        2 => of::<2>(planes, at, offsets),
        3 => of::<3>(planes, at, offsets),
        4 => of::<4>(planes, at, offsets),
        5 => of::<5>(planes, at, offsets),
        6 => of::<6>(planes, at, offsets),
        7 => of::<7>(planes, at, offsets),
        _ => of::<8>(planes, at, offsets),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn round_trip<T: Int + PartialEq + std::fmt::Debug>(values: &[T]) {
        let mut bytes = Vec::new();
        encode(values.iter().copied(), &mut bytes);
        assert_eq!(decode::<T>(&bytes, values.len()).unwrap(), values);
        assert!(decode::<T>(&bytes, values.len() + BLOCK).is_err());
        bytes.push(0);
        assert!(decode::<T>(&bytes, values.len()).is_err());
    }

    proptest! {
        #[test]
        fn any_integers_come_back(
            a in prop::collection::vec(any::<u64>(), 0..700),
            b in prop::collection::vec(any::<i32>(), 0..700),
            c in prop::collection::vec(any::<i64>(), 0..700),
            d in prop::collection::vec(0u64..1000, 0..700),
            e in prop::collection::vec(any::<u8>(), 0..700),
            f in prop::collection::vec(any::<u16>(), 0..700),
        ) {
            round_trip(&a);
            round_trip(&b);
            round_trip(&c);
            round_trip(&e);
            round_trip(&f);
            let rising: Vec<u64> = d.iter().scan(1u64 << 60, |t, d| { *t += d; Some(*t) }).collect();
            round_trip(&rising);
        }

        #[test]
        fn any_bytes_are_refused_or_decoded_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), n in 0usize..2000) {
            let _ = decode::<u64>(&bytes, n);
            let _ = decode::<i32>(&bytes, n);
        }
    }

    #[test]
    fn extremes_come_back() {
        round_trip(&[u64::MAX, 0, u64::MAX, 1 << 63]);
        round_trip(&[i64::MIN, i64::MAX, 0, -1]);
        round_trip(&[7u64; 513]);
    }

    #[test]
    fn a_steady_clock_takes_no_bytes_per_row() {
        let mut bytes = Vec::new();
        encode((0..256u64).map(|i| 1_000_000 + i * 1000), &mut bytes);
        assert_eq!(bytes.len(), 17);
    }
}
