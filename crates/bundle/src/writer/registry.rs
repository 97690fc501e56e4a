//! Streams as channels: numbers, schemas and the records that define them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use coldcase_model::catalogue::{RAW_STREAMS, RawStream, by_stream, raw_stream};
use coldcase_model::{Class, EventDef};
use mcap::records::{self, op};

use crate::error::WriteError;
use crate::reader::Definitions;
use crate::schema::{self, Schema};
use crate::wire;

/// A stream of the bundle being written.
#[derive(Debug)]
pub(crate) struct StreamDef {
    /// Its name, the channel's topic.
    pub(crate) name: Arc<str>,
    /// The signal class, which decides whose chunks hold it.
    pub(crate) class: Class,
    /// The channel's number.
    pub(crate) channel: u16,
    /// The schema's number; 0 for raw streams.
    pub(crate) schema: u16,
    /// The event; `None` for raw streams.
    pub(crate) event: Option<&'static EventDef>,
    /// The schema record with its frame; empty for raw streams.
    pub(crate) schema_record: Vec<u8>,
    /// The channel record with its frame.
    pub(crate) channel_record: Vec<u8>,
}

/// The streams that were used so far.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    streams: HashMap<String, Arc<StreamDef>>,
}

impl Registry {
    /// The stream of a name.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<StreamDef>, WriteError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(def) = known.streams.get(name) {
            return Ok(def.clone());
        }
        let (class, event, encoding, metadata) = describe(name)?;
        let (channel, schema) = numbers(name, event);
        let def = Arc::new(StreamDef {
            name: name.into(),
            class,
            channel,
            schema,
            event,
            schema_record: event.map_or_else(Vec::new, |event| schema_record(schema, &Schema::of(event))),
            channel_record: channel_record(channel, schema, name, encoding, metadata),
        });
        known.streams.insert(name.to_owned(), def.clone());
        Ok(def)
    }

    /// The kinds in use.
    pub(crate) fn kinds(&self) -> Vec<u16> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.streams.values().filter_map(|s| s.event.map(|e| e.kind)).collect()
    }
}

/// Channels of raw streams are numbered from here on, in the order of the catalogue; those of their receipts from
/// [`RECEIPTS`] on. A stream of rows has the number of its kind.
const RAW: u16 = 0x4000;
const RECEIPTS: u16 = 0x6000;

/// The numbers of a stream's channel and schema: the same in every bundle, so that chunks of several can stand in one.
fn numbers(name: &str, event: Option<&EventDef>) -> (u16, u16) {
    let place = |same: &dyn Fn(&RawStream) -> bool| RAW_STREAMS.iter().position(same).unwrap_or(0) as u16;
    match event {
        None => (RAW + place(&|r| r.stream == name), 0),
        Some(event) if name.ends_with(".receipts") => (RECEIPTS + place(&|r| r.receipts == name), event.kind),
        Some(event) => (event.kind, event.kind),
    }
}

impl StreamDef {
    /// A stream of the catalogue in a file that has definitions already: with its numbers there, else its usual ones,
    /// or the next free ones where those are taken.
    pub(crate) fn beside(name: &str, known: &Definitions) -> Result<StreamDef, WriteError> {
        let (class, event, encoding, metadata) = describe(name)?;
        let full = || WriteError::Full(name.to_owned());
        let there = known.channel(name);
        let usual = numbers(name, event);
        let channel = match there {
            Some(c) => c.id,
            None if !known.channels.contains_key(&usual.0) => usual.0,
            None => known.channels.keys().max().map_or(Some(0), |m| m.checked_add(1)).ok_or_else(full)?,
        };
        let schema = match (there, event) {
            (Some(c), _) => c.schema_id,
            (None, Some(_)) if !known.schemas.contains_key(&usual.1) => usual.1,
            (None, Some(_)) => known.schemas.keys().max().map_or(Some(1), |m| m.checked_add(1)).ok_or_else(full)?,
            (None, None) => 0,
        };
        let (schema_record, channel_record) = match there {
            Some(c) => (known.schema_record(schema), channel_bytes(c)),
            None => (
                event.map_or_else(Vec::new, |event| schema_record(schema, &Schema::of(event))),
                channel_record(channel, schema, name, encoding, metadata),
            ),
        };
        Ok(StreamDef { name: name.into(), class, channel, schema, event, schema_record, channel_record })
    }
}

/// A channel record with its frame.
pub(crate) fn channel_bytes(channel: &records::Channel) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put(&mut out, op::CHANNEL, channel);
    out
}

type Description = (Class, Option<&'static EventDef>, &'static str, BTreeMap<String, String>);

/// What the catalogue says of a stream. The receipts of a raw stream stand in the chunks of that stream's class.
fn describe(name: &str) -> Result<Description, WriteError> {
    let mut metadata = BTreeMap::new();
    if let Some(raw) = raw_stream(name) {
        metadata.insert("class".to_owned(), raw.class.name().to_owned());
        metadata.insert("receipts".to_owned(), raw.receipts.to_owned());
        return Ok((raw.class, None, raw.message_encoding, metadata));
    }
    let unknown = || WriteError::UnknownStream(name.to_owned());
    let event = by_stream(name).ok_or_else(unknown)?;
    let class = if name.ends_with(".receipts") {
        RAW_STREAMS.iter().find(|r| r.receipts == name).ok_or_else(unknown)?.class
    } else {
        event.class
    };
    metadata.insert("class".to_owned(), class.name().to_owned());
    metadata.insert("kind".to_owned(), event.kind.to_string());
    Ok((class, Some(event), "msgpack", metadata))
}

/// A schema record with its frame.
fn schema_record(id: u16, schema: &Schema) -> Vec<u8> {
    let header =
        records::SchemaHeader { id, name: format!("coldcase.{}", schema.name), encoding: schema::ENCODING.to_owned() };
    let json = schema.to_json();
    let mut out = Vec::new();
    wire::put_raw(&mut out, op::SCHEMA, &[&wire::body(&header), &(json.len() as u32).to_le_bytes(), &json]);
    out
}

fn channel_record(id: u16, schema: u16, topic: &str, encoding: &str, metadata: BTreeMap<String, String>) -> Vec<u8> {
    let channel = records::Channel {
        id,
        schema_id: schema,
        topic: topic.to_owned(),
        message_encoding: encoding.to_owned(),
        metadata,
    };
    channel_bytes(&channel)
}

/// The class in whose chunks a stream stands.
pub(crate) fn class_of(stream: &str) -> Option<Class> {
    describe(stream).ok().map(|(class, ..)| class)
}
