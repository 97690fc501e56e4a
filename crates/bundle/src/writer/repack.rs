//! A chunk of another file, to be appended as it is: its indexes and definitions made again from its content.

use std::collections::BTreeMap;

use mcap::records::{self, Record, op};

use super::pack::Packed;
use super::registry::channel_bytes;
use crate::mark::{Mark, MarkStream};
use crate::reader::{ChunkInfo, Definitions, chunk};
use crate::wire::{self, RawRecord};

/// Prepares a chunk: its bytes with their frame, and the same as a record. `mark` is what its private record said, where that holds for these bytes.
pub(crate) fn repack(
    mut chunk: Vec<u8>,
    record: &RawRecord<'_>,
    info: &ChunkInfo,
    mark: Option<&Mark>,
    definitions: &Definitions,
) -> Result<Packed, String> {
    let parsed = mcap::parse_record(record.opcode, record.body).map_err(|e| e.to_string())?;
    let Record::Chunk { mut header, data } = parsed else { return Err("no chunk record here".into()) };
    let content = chunk::content(record, mark.is_some())?;
    if header.uncompressed_crc == 0 {
        // Another tool left it out; a chunk with a mark must have it.
        header.uncompressed_crc = crc32fast::hash(&content);
        chunk.clear();
        wire::put_raw(&mut chunk, op::CHUNK, &[&wire::body(&header), &data]);
    }
    let mut local = Definitions::default();
    let mut entries: BTreeMap<u16, Vec<records::MessageIndexEntry>> = BTreeMap::new();
    chunk::each_record(&content, |inner| {
        local.take(inner.opcode, inner.body);
        if inner.opcode == op::MESSAGE {
            let (message, _) = chunk::message(inner.body)?;
            let entry = records::MessageIndexEntry { log_time: message.log_time, offset: inner.start };
            entries.entry(message.channel_id).or_default().push(entry);
        }
        Ok(())
    })?;
    local.merge(definitions.clone());
    let channels = entries.keys().filter_map(|id| Some((*id, local.channels.get(id)?)));
    let channels: BTreeMap<u16, &records::Channel> = channels.collect();
    let schemas = channels.values().map(|c| c.schema_id).filter(|id| *id != 0);
    let schemas: BTreeMap<u16, Vec<u8>> = schemas.map(|id| (id, local.schema_record(id))).collect();
    let kind = |c: &records::Channel| local.schemas.get(&c.schema_id).and_then(|s| s.0.as_ref()).map_or(0, |s| s.kind);
    let kinds = channels.values().map(|c| (c.topic.clone(), kind(c))).collect();
    let (mut indexes, mut offsets, mut messages) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for (channel_id, records) in entries {
        offsets.insert(channel_id, (chunk.len() + indexes.len()) as u64);
        messages.insert(channel_id, records.len() as u64);
        wire::put(&mut indexes, op::MESSAGE_INDEX, &records::MessageIndex { channel_id, records });
    }
    Ok(Packed {
        class: mark.map_or_else(|| info.class.name().to_owned(), |m| m.class.clone()),
        index: records::ChunkIndex {
            message_start_time: header.message_start_time,
            message_end_time: header.message_end_time,
            chunk_start_offset: 0,
            chunk_length: chunk.len() as u64,
            message_index_offsets: offsets,
            message_index_length: indexes.len() as u64,
            compression: header.compression,
            compressed_size: header.compressed_size,
            uncompressed_size: header.uncompressed_size,
        },
        chunk,
        indexes,
        channels: channels.into_iter().map(|(id, c)| (id, channel_bytes(c))).collect(),
        schemas,
        messages,
        streams: mark.map_or_else(|| streams(info), |m| m.streams.clone()),
        kinds,
        items: BTreeMap::new(),
    })
}

fn streams(info: &ChunkInfo) -> Vec<MarkStream> {
    info.streams
        .iter()
        .map(|s| MarkStream {
            name: s.stream.to_string(),
            rows: s.rows,
            first_row: s.first_row,
            start: s.start.0,
            end: s.end.0,
            bytes: s.bytes,
        })
        .collect()
}

/// Prepares a chunk that stands whole behind its mark, from its bytes alone: nothing is decompressed, its indexes are
/// taken as they are.
pub(crate) fn carry(bytes: &[u8], info: &ChunkInfo, mark: &Mark, definitions: &Definitions) -> Result<Packed, String> {
    let end = info.offset.checked_add(info.bytes).ok_or("it is not within the file")?;
    let here = info.offset.checked_add(mark.here - mark.offset).ok_or("it is not within the file")?;
    let part = |from: u64, to: u64| bytes.get(from as usize..to as usize).ok_or("it is not within the file");
    let (chunk, indexes) = (part(info.offset, end)?, part(end, here)?);
    if blake3::hash(chunk) != mark.chunk_hash {
        return Err("it is not as it was written".into());
    }
    let record = chunk::record(bytes, info)?;
    let parsed = mcap::parse_record(record.opcode, record.body).map_err(|e| e.to_string())?;
    let Record::Chunk { header, .. } = parsed else { return Err("no chunk record here".into()) };
    let (mut offsets, mut messages) = (BTreeMap::new(), BTreeMap::new());
    chunk::each_record(indexes, |inner| {
        let parsed = mcap::parse_record(inner.opcode, inner.body).map_err(|e| e.to_string())?;
        let Record::MessageIndex(index) = parsed else { return Err("no message index behind it".into()) };
        offsets.insert(index.channel_id, info.bytes + inner.start);
        messages.insert(index.channel_id, index.records.len() as u64);
        Ok(())
    })?;
    let (mut channels, mut schemas, mut kinds) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for id in messages.keys() {
        let channel = definitions.channels.get(id).ok_or_else(|| format!("the channel {id} is not defined"))?;
        let schema = definitions.schemas.get(&channel.schema_id);
        if schema.is_some() {
            schemas.insert(channel.schema_id, definitions.schema_record(channel.schema_id));
        }
        kinds.insert(channel.topic.clone(), schema.and_then(|s| s.0.as_ref()).map_or(0, |s| s.kind));
        channels.insert(*id, channel_bytes(channel));
    }
    Ok(Packed {
        class: mark.class.clone(),
        index: records::ChunkIndex {
            message_start_time: header.message_start_time,
            message_end_time: header.message_end_time,
            chunk_start_offset: 0,
            chunk_length: info.bytes,
            message_index_offsets: offsets,
            message_index_length: indexes.len() as u64,
            compression: header.compression,
            compressed_size: header.compressed_size,
            uncompressed_size: header.uncompressed_size,
        },
        chunk: chunk.to_vec(),
        indexes: indexes.to_vec(),
        channels,
        schemas,
        messages,
        streams: mark.streams.clone(),
        kinds,
        items: BTreeMap::new(),
    })
}
