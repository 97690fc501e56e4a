//! Schemas and channels as a file defines them.

use std::collections::BTreeMap;

use mcap::records::{Channel, Record, op};

use crate::schema::{self, Schema};
use crate::wire;

/// What the numbers in a file mean.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definitions {
    /// Schema records by number, with their bytes.
    pub(crate) schemas: BTreeMap<u16, (Option<Schema>, Vec<u8>)>,
    /// Channels by number.
    pub(crate) channels: BTreeMap<u16, Channel>,
    /// Docs by the kind's name.
    pub(crate) docs: BTreeMap<String, String>,
}

impl Definitions {
    /// Takes in a schema or channel record; the first definition of a number stays. Whether it could be read.
    pub(crate) fn take(&mut self, opcode: u8, body: &[u8]) -> bool {
        if opcode != op::SCHEMA && opcode != op::CHANNEL {
            return true;
        }
        match mcap::parse_record(opcode, body) {
            Ok(Record::Schema { header, data }) => {
                let parsed = if header.encoding == schema::ENCODING { Schema::from_json(&data) } else { None };
                self.schemas.entry(header.id).or_insert_with(|| (parsed, body.to_vec()));
                true
            }
            Ok(Record::Channel(channel)) => {
                self.channels.entry(channel.id).or_insert(channel);
                true
            }
            _ => false,
        }
    }

    /// Takes in what another part of the file defined.
    pub(crate) fn merge(&mut self, other: Definitions) {
        for (id, schema) in other.schemas {
            self.schemas.entry(id).or_insert(schema);
        }
        for (id, channel) in other.channels {
            self.channels.entry(id).or_insert(channel);
        }
    }

    /// A schema record with its frame; empty where there is none.
    pub(crate) fn schema_record(&self, id: u16) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some((_, body)) = self.schemas.get(&id) {
            wire::put_raw(&mut out, op::SCHEMA, &[body]);
        }
        out
    }

    /// The channel of a stream.
    pub(crate) fn channel(&self, stream: &str) -> Option<&Channel> {
        self.channels.values().find(|c| c.topic == stream)
    }

    /// The schema of a stream, with its docs.
    pub(crate) fn schema(&self, stream: &str) -> Option<Schema> {
        let channel = self.channel(stream)?;
        let mut schema = self.schemas.get(&channel.schema_id)?.0.clone()?;
        if let Some(docs) = self.docs.get(&schema.name) {
            schema.take_docs(docs);
        }
        Some(schema)
    }
}
