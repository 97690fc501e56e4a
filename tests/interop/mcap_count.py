"""Counts the messages of a bundle with PyPI's mcap reader, three ways, and prints them as JSON.

Usage: mcap_count.py BUNDLE
"""

import collections
import json
import sys

from mcap.reader import NonSeekingReader, make_reader
from mcap.records import Channel, Chunk, Message, Metadata
from mcap.stream_reader import StreamReader

path = sys.argv[1]
out = {}
with open(path, "rb") as f:
    reader = make_reader(f, validate_crcs=True)
    summary = reader.get_summary()
    out["profile"] = reader.get_header().profile
    topics = {c.id: c.topic for c in summary.channels.values()}
    stats = summary.statistics
    out["statistics"] = {topics[i]: n for i, n in stats.channel_message_counts.items()}
    out["chunks"] = [stats.chunk_count, len(summary.chunk_indexes)]
    indexed = collections.Counter()
    sizes = collections.Counter()
    for schema, channel, message in reader.iter_messages():
        indexed[channel.topic] += 1
        sizes[channel.topic] += len(message.data)
    out["indexed"] = indexed
    out["bytes"] = sizes
    out["metadata"] = sorted(m.name for m in reader.iter_metadata())
    manifest = [m for m in reader.iter_metadata() if m.name == "coldcase.manifest"]
    out["id"] = json.loads(manifest[0].metadata["json"])["id"]
with open(path, "rb") as f:
    linear = collections.Counter()
    for schema, channel, message in NonSeekingReader(f, validate_crcs=True).iter_messages():
        linear[channel.topic] += 1
    out["linear"] = linear
with open(path, "rb") as f:
    channels, raw = {}, collections.Counter()
    for record in StreamReader(f, validate_crcs=True).records:
        if isinstance(record, Channel):
            channels[record.id] = record.topic
        if isinstance(record, Message):
            raw[channels[record.channel_id]] += 1
    out["records"] = raw
print(json.dumps(out))
