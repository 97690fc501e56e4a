//! Streams as channels: numbers, schemas and the records that define them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use coldcase_model::catalogue::{RAW_STREAMS, by_stream, raw_stream};
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
    schemas: HashMap<u16, u16>,
    next_channel: u16,
}

impl Registry {
    /// The stream of a name; numbers are given out in order of first use.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<StreamDef>, WriteError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(def) = known.streams.get(name) {
            return Ok(def.clone());
        }
        let (class, event, encoding, metadata) = describe(name)?;
        let channel = known.next_channel;
        known.next_channel = channel.checked_add(1).ok_or_else(|| WriteError::Full("channels".into()))?;
        let schema = match event {
            None => 0,
            Some(event) => {
                // Streams of receipts share one kind, hence one schema.
                let next = known.schemas.len() as u16 + 1;
                *known.schemas.entry(event.kind).or_insert(next)
            }
        };
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).schemas.keys().copied().collect()
    }
}

impl StreamDef {
    /// A stream of the catalogue in a file that has definitions already: with its numbers there, or the next free ones.
    pub(crate) fn beside(name: &str, known: &Definitions) -> Result<StreamDef, WriteError> {
        let (class, event, encoding, metadata) = describe(name)?;
        let full = || WriteError::Full(name.to_owned());
        let there = known.channel(name);
        let channel = match there {
            Some(c) => c.id,
            None => known.channels.keys().max().map_or(Some(0), |m| m.checked_add(1)).ok_or_else(full)?,
        };
        let schema = match (there, event) {
            (Some(c), _) => c.schema_id,
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
