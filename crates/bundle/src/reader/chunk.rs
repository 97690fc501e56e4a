//! One chunk: checked, decompressed within bounds, and its messages decoded.

use std::collections::HashMap;
use std::sync::Arc;

use coldcase_model::catalogue::by_stream;
use coldcase_model::{Boottime, Utc};
use mcap::records::{Record, op};

use super::{Batch, BatchBody, ChunkInfo, ChunkStream, Definitions};
use crate::codec::{Budget, decode_batch};
use crate::limits;
use crate::wire::{self, RawRecord};

/// What a chunk without a mark turned out to hold.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) streams: Vec<ChunkStream>,
    pub(crate) definitions: Definitions,
}

/// A chunk's record as its mark or index describes it. Its own opcode and length may be damaged: they are not needed.
pub(crate) fn record<'a>(bytes: &'a [u8], info: &ChunkInfo) -> Result<RawRecord<'a>, String> {
    let end = info.offset.checked_add(info.bytes).filter(|_| info.bytes <= limits::RECORD);
    let body = end.and_then(|end| bytes.get((info.offset + wire::FRAME) as usize..end as usize));
    match (body, end) {
        (Some(body), Some(end)) => Ok(RawRecord { opcode: op::CHUNK, start: info.offset, end, body }),
        _ => Err("it is not within the file".into()),
    }
}

/// The decompressed content of a chunk record, checked against its header. Other tools may leave the CRC out and write
/// 0; `ours` says that this one has a mark, and hence a CRC.
pub(crate) fn content(record: &RawRecord<'_>, ours: bool) -> Result<Vec<u8>, String> {
    if record.opcode != op::CHUNK {
        return Err("no chunk record here".into());
    }
    let parsed = mcap::parse_record(record.opcode, record.body).map_err(|e| format!("its header: {e}"))?;
    let Record::Chunk { header, data } = parsed else { return Err("no chunk record here".into()) };
    if header.uncompressed_size > limits::CHUNK_DECOMPRESSED {
        return Err(format!(
            "it claims {} bytes decompressed, the limit is {}",
            header.uncompressed_size,
            limits::CHUNK_DECOMPRESSED
        ));
    }
    let size = header.uncompressed_size as usize;
    let content = match header.compression.as_str() {
        "" => data.into_owned(),
        // Never more than the header claims is written, whatever the frame says.
        "zstd" => zstd::bulk::decompress(&data, size).map_err(|e| format!("zstd: {e}"))?,
        other => return Err(format!("compressed with {other:?}, this build reads zstd")),
    };
    if content.len() != size {
        return Err(format!("{} bytes decompressed, its header says {size}", content.len()));
    }
    if (ours || header.uncompressed_crc != 0) && crc32fast::hash(&content) != header.uncompressed_crc {
        return Err("its CRC is wrong".into());
    }
    Ok(content)
}

/// The messages of a chunk whose stream is wanted.
pub(crate) fn read(
    record: &RawRecord<'_>,
    ours: bool,
    definitions: &Definitions,
    want: &dyn Fn(&str) -> bool,
) -> Result<Vec<Batch>, String> {
    let content = content(record, ours)?;
    let mut local = Definitions::default();
    let mut names: HashMap<u16, Option<(Arc<str>, bool)>> = HashMap::new();
    let mut budget = Budget::new(limits::BATCH_DECODED);
    let mut batches = Vec::new();
    each_record(&content, |inner| {
        if inner.opcode == op::SCHEMA || inner.opcode == op::CHANNEL {
            return if local.take(inner.opcode, inner.body) { Ok(()) } else { Err("a definition in it".into()) };
        }
        if inner.opcode != op::MESSAGE {
            return Ok(());
        }
        let (header, data) = message(inner.body)?;
        let named = names.entry(header.channel_id).or_insert_with(|| {
            let id = header.channel_id;
            let channel = local.channels.get(&id).or_else(|| definitions.channels.get(&id))?;
            Some((channel.topic.as_str().into(), is_batch(channel)))
        });
        let Some((stream, columns)) = named.as_ref() else {
            return Err(format!("a message of the undefined channel {}", header.channel_id));
        };
        if want(stream) {
            batches.push(batch(stream, *columns, &header, data, &mut budget)?);
        }
        Ok(())
    })?;
    Ok(batches)
}

/// Whether a channel's messages are batches; otherwise they are raw.
fn is_batch(channel: &mcap::records::Channel) -> bool {
    channel.message_encoding == "msgpack" && channel.schema_id != 0
}

fn batch(
    stream: &Arc<str>,
    columns: bool,
    header: &mcap::records::MessageHeader,
    data: &[u8],
    budget: &mut Budget,
) -> Result<Batch, String> {
    let (first_row, body) = if columns {
        let (first, rows) = decode_batch(data, budget).map_err(|e| format!("{stream}: {e}"))?;
        (first, BatchBody::Columns(rows))
    } else {
        (u64::from(header.sequence), BatchBody::Raw(data.to_vec()))
    };
    let utc = |t: u64| Utc(i64::try_from(t).unwrap_or(i64::MAX));
    Ok(Batch {
        stream: stream.clone(),
        first_row,
        log_time: utc(header.log_time),
        publish_time: utc(header.publish_time),
        body,
    })
}

pub(crate) fn message(body: &[u8]) -> Result<(mcap::records::MessageHeader, &[u8]), String> {
    /// Channel, sequence, log time, publish time.
    const HEAD: usize = 2 + 4 + 8 + 8;
    let (head, data) = body.split_at_checked(HEAD).ok_or("a message shorter than its header")?;
    let mut f = wire::Fields(head);
    let parsed = (|| {
        Some(mcap::records::MessageHeader {
            channel_id: f.u16()?,
            sequence: f.u32()?,
            log_time: f.u64()?,
            publish_time: f.u64()?,
        })
    })();
    Ok((parsed.ok_or("a message shorter than its header")?, data))
}

pub(crate) fn each_record<'a>(
    content: &'a [u8],
    mut each: impl FnMut(RawRecord<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut at = 0;
    while at < content.len() as u64 {
        let inner = wire::record_at(content, at, limits::CHUNK_DECOMPRESSED).map_err(|e| e.reason().to_owned())?;
        at = inner.end;
        each(inner)?;
    }
    Ok(())
}

/// Decodes a whole chunk to learn what it holds.
pub(crate) fn survey(record: &RawRecord<'_>, definitions: &Definitions) -> Result<Survey, String> {
    let mut survey = Survey::default();
    let content = content(record, false)?;
    let mut sizes: HashMap<u16, u64> = HashMap::new();
    each_record(&content, |inner| {
        if inner.opcode == op::MESSAGE {
            let (header, data) = message(inner.body)?;
            *sizes.entry(header.channel_id).or_default() += data.len() as u64;
        }
        survey.definitions.take(inner.opcode, inner.body);
        Ok(())
    })?;
    for batch in read(record, false, definitions, &|_| true)? {
        let (rows, start, end) = match &batch.body {
            // When the rows of a raw message happened is not known without decoding it.
            BatchBody::Raw(_) => (1, 0, u64::MAX),
            BatchBody::Columns(columns) => {
                let (start, end) =
                    by_stream(&batch.stream).map_or((0, u64::MAX), |def| crate::writer::span(def, columns));
                (columns.len() as u64, start, end)
            }
        };
        match survey.streams.iter_mut().find(|s| s.stream == batch.stream) {
            Some(s) => {
                s.rows += rows;
                s.first_row = s.first_row.min(batch.first_row);
                s.start = s.start.min(Boottime(start));
                s.end = s.end.max(Boottime(end));
            }
            None => survey.streams.push(ChunkStream {
                stream: batch.stream.clone(),
                rows,
                first_row: batch.first_row,
                start: Boottime(start),
                end: Boottime(end),
                bytes: 0,
            }),
        }
    }
    for s in &mut survey.streams {
        let channel = survey.definitions.channel(&s.stream).or_else(|| definitions.channel(&s.stream));
        s.bytes = channel.and_then(|c| sizes.get(&c.id)).copied().unwrap_or(0);
    }
    Ok(survey)
}
