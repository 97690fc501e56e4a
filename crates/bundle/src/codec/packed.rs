//! Small numbers of one width, value by value: for ids whose runs repeat, which zstd then finds. See formats/bundle.md,
//! "packed".

/// Appends the width in bytes that the largest value needs, then each value in that width.
pub(crate) fn encode(values: impl Iterator<Item = u32> + Clone, out: &mut Vec<u8>) {
    let max = values.clone().max().unwrap_or(0);
    let width = 4 - max.leading_zeros() as usize / 8;
    out.push(width as u8);
    for v in values {
        out.extend_from_slice(&v.to_le_bytes()[..width]);
    }
}

/// Decodes exactly `count` values below `bound`, which must fill `bytes` to its end.
pub(crate) fn decode(bytes: &[u8], count: usize, bound: usize) -> Result<Vec<u32>, &'static str> {
    let (&width, rest) = bytes.split_first().ok_or("no width")?;
    let width = usize::from(width);
    if width > 4 {
        return Err("unknown width");
    }
    if rest.len() != width * count {
        return Err("of another length than its rows");
    }
    let values: Vec<u32> = match width {
        0 => vec![0; count],
        1 => rest.iter().map(|&b| u32::from(b)).collect(),
        2 => rest.as_chunks::<2>().0.iter().map(|c| u32::from(u16::from_le_bytes(*c))).collect(),
        3 => rest.as_chunks::<3>().0.iter().map(|c| u32::from_le_bytes([c[0], c[1], c[2], 0])).collect(),
        _ => rest.as_chunks::<4>().0.iter().map(|c| u32::from_le_bytes(*c)).collect(),
    };
    if values.iter().copied().max().is_some_and(|m| m as usize >= bound) {
        return Err("an id without its entry");
    }
    Ok(values)
}
