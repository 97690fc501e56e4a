//! Integers as fixed-width blocks: frame of reference or deltas, split into byte planes. See formats/bundle.md, "ints".

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

/// Appends the blocks of `values`.
pub(crate) fn encode<T: Int>(values: impl Iterator<Item = T>, out: &mut Vec<u8>) {
    let mut block = [0u64; BLOCK];
    let mut n = 0;
    for value in values {
        block[n] = value.to_wire();
        n += 1;
        if n == BLOCK {
            encode_block(&block, out);
            n = 0;
        }
    }
    if n > 0 {
        encode_block(&block[..n], out);
    }
}

/// Bytes needed for a number; 0 for 0.
fn width(n: u64) -> usize {
    8 - n.leading_zeros() as usize / 8
}

fn encode_block(values: &[u64], out: &mut Vec<u8>) {
    let (mut min, mut max) = (values[0], values[0]);
    for &v in values {
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
    // A block of deltas costs eight bytes more of head.
    if deltas * (values.len() - 1) + 8 < plain * values.len() {
        out.push(DELTA | deltas as u8);
        out.extend_from_slice(&values[0].to_le_bytes());
        out.extend_from_slice(&low.to_le_bytes());
        let mut offsets = [0u64; BLOCK];
        for (o, pair) in offsets.iter_mut().zip(values.windows(2)) {
            *o = pair[1].wrapping_sub(pair[0]).wrapping_sub(low as u64);
        }
        split(&offsets[..values.len() - 1], 0, deltas, out);
    } else {
        out.push(plain as u8);
        out.extend_from_slice(&min.to_le_bytes());
        split(values, min, plain, out);
    }
}

/// Appends `width` planes: byte 0 of every offset, then byte 1, …
fn split(values: &[u64], base: u64, width: usize, out: &mut Vec<u8>) {
    for plane in 0..width {
        out.extend(values.iter().map(|v| (v.wrapping_sub(base) >> (8 * plane)) as u8));
    }
}

/// Decodes exactly `count` values, which must fill `bytes` to its end.
pub(crate) fn decode<T: Int>(bytes: &[u8], count: usize) -> Result<Vec<T>, &'static str> {
    // Every block takes at least its head: a claimed count cannot make us allocate for what is not there.
    if bytes.len() < count.div_ceil(BLOCK) * 9 {
        return Err("too short for its rows");
    }
    let mut out = Vec::with_capacity(count);
    let mut rest = bytes;
    while out.len() < count {
        let n = (count - out.len()).min(BLOCK);
        rest = decode_block(rest, n, &mut out)?;
    }
    if rest.is_empty() { Ok(out) } else { Err("longer than its rows") }
}

fn decode_block<'a, T: Int>(bytes: &'a [u8], n: usize, out: &mut Vec<T>) -> Result<&'a [u8], &'static str> {
    const SHORT: &str = "ends within a block";
    let (&tag, rest) = bytes.split_first().ok_or(SHORT)?;
    let (base, rest) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
    let base = u64::from_le_bytes(*base);
    let width = usize::from(tag & 0x0f);
    if width > 8 || tag & 0xe0 != 0 {
        return Err("unknown block tag");
    }
    if tag & DELTA == 0 {
        let (planes, rest) = rest.split_at_checked(width * n).ok_or(SHORT)?;
        let mut block = [0u64; BLOCK];
        join(planes, n, width, &mut block);
        out.extend(block[..n].iter().map(|v| T::from_wire(base.wrapping_add(*v))));
        return Ok(rest);
    }
    let (low, rest) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
    let low = u64::from_le_bytes(*low);
    let (planes, rest) = rest.split_at_checked(width * (n - 1)).ok_or(SHORT)?;
    let mut block = [0u64; BLOCK];
    join(planes, n - 1, width, &mut block);
    let mut value = base;
    out.push(T::from_wire(value));
    out.extend(block[..n - 1].iter().map(|offset| {
        value = value.wrapping_add(low).wrapping_add(*offset);
        T::from_wire(value)
    }));
    Ok(rest)
}

/// The reverse of [`split`] for `n` values.
fn join(planes: &[u8], n: usize, width: usize, block: &mut [u64; BLOCK]) {
    fn planes_of<const W: usize>(planes: &[u8], block: &mut [u64]) {
        let n = block.len();
        let parts: [&[u8]; W] = std::array::from_fn(|p| &planes[p * n..(p + 1) * n]);
        for (i, v) in block.iter_mut().enumerate() {
            let mut joined = 0;
            for (p, part) in parts.iter().enumerate() {
                joined |= u64::from(part[i]) << (8 * p);
            }
            *v = joined;
        }
    }
    let block = &mut block[..n];
    match width {
        0 => {}
        1 => planes_of::<1>(planes, block),
        2 => planes_of::<2>(planes, block),
        3 => planes_of::<3>(planes, block),
        4 => planes_of::<4>(planes, block),
        5 => planes_of::<5>(planes, block),
        6 => planes_of::<6>(planes, block),
        7 => planes_of::<7>(planes, block),
        _ => planes_of::<8>(planes, block),
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
