//! Compressed captures, gzip and zstd, told by their first bytes.

use std::io::{BufReader, Chain, Cursor, Read};

/// What a file begins with, and the rest of it.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// Reads a file, and unpacks it on the way where it is compressed. Where the packed bytes are cut or damaged it ends,
/// and says so in [`Unpack::problem`].
pub struct Unpack<R: Read> {
    from: From<R>,
    problem: Option<&'static str>,
}

enum From<R: Read> {
    Plain(Whole<R>),
    Gzip(Box<flate2::read::MultiGzDecoder<Whole<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Whole<R>>>>),
}

impl<R: Read> Unpack<R> {
    /// Looks at how `file` begins.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(mut file: R) -> std::io::Result<Unpack<R>> {
        let mut head = Vec::new();
        (&mut file).take(4).read_to_end(&mut head)?;
        let (gzip, zstd) = (head.starts_with(&[0x1f, 0x8b]), head == [0x28, 0xb5, 0x2f, 0xfd]);
        let whole = Cursor::new(head).chain(file);
        let from = match (gzip, zstd) {
            (true, _) => From::Gzip(Box::new(flate2::read::MultiGzDecoder::new(whole))),
            (_, true) => From::Zstd(Box::new(zstd::stream::read::Decoder::new(whole)?)),
            _ => From::Plain(whole),
        };
        Ok(Unpack { from, problem: None })
    }

    /// Whether it is compressed: bytes are then not those of the file.
    pub fn is_packed(&self) -> bool {
        !matches!(self.from, From::Plain(_))
    }

    /// Why it ended too soon.
    pub fn problem(&self) -> Option<&'static str> {
        self.problem
    }
}

impl<R: Read> Read for Unpack<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        use std::io::ErrorKind as E;
        if self.problem.is_some() {
            return Ok(0);
        }
        let read = match &mut self.from {
            From::Plain(from) => return from.read(into),
            From::Gzip(from) => from.read(into),
            From::Zstd(from) => from.read(into),
        };
        match read.as_ref().map_err(std::io::Error::kind) {
            Err(E::UnexpectedEof) => self.problem = Some("its compressed bytes are cut"),
            // zstd says everything with `Other`.
            Err(E::InvalidData | E::InvalidInput | E::Other) => self.problem = Some("its compressed bytes are damaged"),
            _ => return read,
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn read(bytes: &[u8]) -> (Vec<u8>, Option<&'static str>) {
        let (mut out, mut unpack) = (Vec::new(), Unpack::new(bytes).unwrap());
        unpack.read_to_end(&mut out).unwrap();
        (out, unpack.problem())
    }

    fn packed(text: &[u8]) -> [Vec<u8>; 2] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        [gzip.finish().unwrap(), zstd::bulk::compress(text, 1).unwrap()]
    }

    #[test]
    fn compressed_or_not_the_same_bytes_come_out() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
        assert_eq!(read(&text), (text.clone(), None));
        for packed in packed(&text) {
            assert_eq!(read(&packed), (text.clone(), None));
        }
        assert_eq!(read(b"ab"), (b"ab".to_vec(), None));
    }

    #[test]
    fn what_was_cut_or_damaged_ends_there_and_is_told() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for mut packed in packed(&text) {
            let (out, problem) = read(&packed[..packed.len() / 2]);
            assert!(text.starts_with(&out) && problem.is_some(), "{problem:?}");
            let middle = packed.len() / 2;
            packed[middle..middle + 64].fill(0xff);
            packed.truncate(packed.len() - 9);
            assert!(read(&packed).1.is_some());
        }
    }
}
