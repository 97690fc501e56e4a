"""Writes the matrix of MCAP's conformance suite: six contents, each in every combination of the features that matter to it.

Usage: mcap_conformance.py DIR

The suite's own files are kept in Git LFS by its repository, and are not part of this one. These are made from PyPI
mcap's records by the suite's description: contents NoData, OneAttachment, OneMetadata, OneSchemalessMessage, OneMessage,
TenMessages; features ch (chunks), chx (chunk index), mx (message index), rch and rsh (channels and schemas repeated in
the summary), st (statistics), sum (summary offsets), ax and mdx (attachment and metadata index), pad (bytes after the
fields of a record, which readers skip). PyPI mcap then counts what each file
holds, which must be what was put in, and index.json says it.
"""

import collections
import io
import itertools
import json
import pathlib
import sys
import zlib

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.reader import NonSeekingReader
from mcap.records import Attachment, AttachmentIndex, Channel, Chunk, ChunkIndex, DataEnd, Footer, Header, Message, MessageIndex, Metadata, MetadataIndex, Schema, Statistics, SummaryOffset
from mcap.stream_reader import StreamReader

MAGIC = b"\x89MCAP0\r\n"
SCHEMA = Schema(id=1, name="Example", encoding="c", data=bytes([4, 5, 6]))
CHANNEL = Channel(id=1, schema_id=1, topic="example", message_encoding="a", metadata={"foo": "bar"})
SCHEMALESS = Channel(id=1, schema_id=0, topic="example", message_encoding="a", metadata={"foo": "bar"})


def message(i):
    return Message(channel_id=1, sequence=10 + i, log_time=2 + i, publish_time=1 + i, data=bytes([1, 2, 3]))


CONTENTS = {
    "NoData": [],
    "OneAttachment": [Attachment(name="myFile", media_type="application/octet-stream", log_time=2, create_time=1, data=bytes([1, 2, 3]))],
    "OneMetadata": [Metadata(name="myMetadata", metadata={"foo": "bar"})],
    "OneSchemalessMessage": [SCHEMALESS, message(0)],
    "OneMessage": [SCHEMA, CHANNEL, message(0)],
    "TenMessages": [SCHEMA, CHANNEL, *(message(i) for i in range(10))],
}
# Their last field is as long as the record, or their place is counted from the end of the file: nothing may follow it.
UNPADDED = (Message, Attachment, Chunk, Footer)


def features(name):
    """The features that change something in a file of this content."""
    of = ["st", "sum", "pad"]
    if "Message" in name:
        of += ["ch", "chx", "mx", "rch", *([] if "Schemaless" in name else ["rsh"])]
    return of + {"OneAttachment": ["ax"], "OneMetadata": ["mdx"]}.get(name, [])


def combinations(name):
    for flags in itertools.product([False, True], repeat=len(features(name))):
        on = {f for f, flag in zip(features(name), flags) if flag}
        # Both indexes are of chunks.
        if "ch" in on or not on & {"chx", "mx"}:
            yield on


def encoded(record, on):
    builder = RecordBuilder()
    record.write(builder)
    out = builder.end()
    if "pad" in on and not isinstance(record, UNPADDED):
        body = out[9:] + bytes([1, 2, 3])
        out = out[:1] + len(body).to_bytes(8, "little") + body
    return out


def build(profile, records, on):
    """One file, and its index records as they are written."""
    out = bytearray(MAGIC + encoded(Header(profile=profile, library="conformance"), on))
    indexes = []
    inner, entries = bytearray(), []
    for record in records:
        chunked = "ch" in on and isinstance(record, (Schema, Channel, Message))
        if isinstance(record, Message):
            entries.append((record.log_time, len(inner)))
        offset, bytes_ = len(out), encoded(record, on)
        (inner if chunked else out).extend(bytes_)
        if isinstance(record, Attachment) and "ax" in on:
            indexes.append(AttachmentIndex(offset=offset, length=len(bytes_), log_time=record.log_time, create_time=record.create_time, data_size=len(record.data), name=record.name, media_type=record.media_type))
        if isinstance(record, Metadata) and "mdx" in on:
            indexes.append(MetadataIndex(offset=offset, length=len(bytes_), name=record.name))
    times = [r.log_time for r in records if isinstance(r, Message)] or [0]
    if inner:
        start = len(out)
        chunk = Chunk(compression="", data=bytes(inner), message_start_time=min(times), message_end_time=max(times), uncompressed_crc=zlib.crc32(inner), uncompressed_size=len(inner))
        out.extend(encoded(chunk, on))
        length, offsets, index = len(out) - start, {}, b""
        if "mx" in on:
            offsets, index = {1: len(out)}, encoded(MessageIndex(channel_id=1, records=entries), on)
            out.extend(index)
        if "chx" in on:
            indexes.append(ChunkIndex(message_start_time=min(times), message_end_time=max(times), chunk_start_offset=start, chunk_length=length, message_index_offsets=offsets, message_index_length=len(index), compression="", compressed_size=len(inner), uncompressed_size=len(inner)))
    out.extend(encoded(DataEnd(data_section_crc=0), on))
    return finish(out, records, indexes, on, times, bool(inner))


def finish(out, records, indexes, on, times, chunked):
    """Summary, summary offsets, footer."""
    count = collections.Counter(type(r) for r in records)
    groups = []
    if "rsh" in on:
        groups.append((Opcode.SCHEMA, [r for r in records if isinstance(r, Schema)]))
    if "rch" in on:
        groups.append((Opcode.CHANNEL, [r for r in records if isinstance(r, Channel)]))
    if "st" in on:
        groups.append((Opcode.STATISTICS, [Statistics(attachment_count=count[Attachment], channel_count=count[Channel], channel_message_counts={1: count[Message]} if count[Message] else {}, chunk_count=int(chunked), message_count=count[Message], message_start_time=min(times), message_end_time=max(times), metadata_count=count[Metadata], schema_count=count[Schema])]))
    for opcode, kind in ((Opcode.METADATA_INDEX, MetadataIndex), (Opcode.ATTACHMENT_INDEX, AttachmentIndex), (Opcode.CHUNK_INDEX, ChunkIndex)):
        groups.append((opcode, [i for i in indexes if isinstance(i, kind)]))
    groups = [(opcode, group) for opcode, group in groups if group]
    summary, offsets = len(out), bytearray()
    for opcode, group in groups:
        start = len(out)
        for record in group:
            out.extend(encoded(record, on))
        offsets.extend(encoded(SummaryOffset(group_opcode=opcode, group_start=start, group_length=len(out) - start), on))
    offset_start = len(out) if "sum" in on and groups else 0
    if offset_start:
        out.extend(offsets)
    out.extend(encoded(Footer(summary_start=summary if groups else 0, summary_offset_start=offset_start, summary_crc=0), on))
    return bytes(out + MAGIC)


def counted(data):
    """What PyPI mcap finds: record by record, and by its reader, which must agree."""
    channels, found = {}, collections.Counter()
    for record in StreamReader(io.BytesIO(data), validate_crcs=True).records:
        if isinstance(record, Channel):
            channels[record.id] = record.topic
        elif isinstance(record, Message):
            found[channels[record.channel_id]] += 1
    # The seeking reader wants channels repeated in the summary: of files without, it reads none.
    read = collections.Counter(c.topic for _, c, _ in NonSeekingReader(io.BytesIO(data), validate_crcs=True).iter_messages())
    assert read == found, (read, found)
    return dict(found)


def main():
    folder = pathlib.Path(sys.argv[1])
    index = []
    for name, records in CONTENTS.items():
        for on in combinations(name):
            held = {"example": n} if (n := sum(isinstance(r, Message) for r in records)) else {}
            for profile in ("", "coldcase/1"):
                data = build(profile, records, on)
                # PyPI's reader does not skip what follows the fields of a record inside a chunk.
                if not {"pad", "ch"} <= on:
                    assert counted(data) == held, (name, on)
                file = "-".join([name, *sorted(on), *(["ours"] if profile else [])]) + ".mcap"
                (folder / file).write_bytes(data)
                index.append({"file": file, "profile": profile, "chunked": "ch" in on, "topics": held})
    (folder / "index.json").write_text(json.dumps(index))
    print(len(index))


main()
