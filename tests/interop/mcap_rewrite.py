"""Copies a bundle with PyPI's mcap reader and writer, as a tool would that knows nothing of private records.

Usage: mcap_rewrite.py FROM TO none|zstd|lz4
"""

import sys

from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

source, target, compression = sys.argv[1:4]
with open(source, "rb") as f, open(target, "wb") as g:
    reader = make_reader(f)
    writer = Writer(g, chunk_size=16 * 1024, compression=CompressionType[compression.upper()])
    writer.start(profile=reader.get_header().profile, library="rewriter")
    schemas, channels = {0: 0}, {}
    for schema, channel, message in reader.iter_messages(log_time_order=False):
        if schema and schema.id not in schemas:
            schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
        if channel.id not in channels:
            channels[channel.id] = writer.register_channel(
                channel.topic, channel.message_encoding, schemas[channel.schema_id], channel.metadata
            )
        writer.add_message(
            channels[channel.id], message.log_time, message.data, message.publish_time, message.sequence
        )
    for metadata in reader.iter_metadata():
        writer.add_metadata(metadata.name, metadata.metadata)
    writer.finish()
