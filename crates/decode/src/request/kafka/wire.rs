//! The frames of Kafka (protocol guide, "Protocol Primitive Types", "Request Header", "Response Header").

use crate::request::Side;
use crate::request::frames::{Measure, Sound};

/// `socket.request.max.bytes` of a broker by default; a response may be larger by its headers.
const LARGEST: u32 = 128 << 20;
const WANTED: usize = 4 << 10;

/// The header of a request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) api: u16,
    pub(super) version: u16,
    pub(super) id: u64,
    pub(super) client: Option<String>,
    /// Where the body begins.
    body: usize,
}

/// What a request is about, as far as that stands at its beginning.
#[derive(Debug, Default)]
pub(super) struct Subject {
    pub(super) topic: Option<String>,
    pub(super) group: Option<String>,
    /// A Produce that wants no acknowledgement.
    pub(super) unanswered: bool,
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn measure(from: Side, head: &[u8]) -> Measure {
    let least = if from == Side::Client { 8 } else { 4 };
    match be32(head, 0) {
        None => Measure::More,
        Some(size) if (least..=LARGEST).contains(&size) => Measure::Size { total: u64::from(size) + 4, keep: WANTED },
        Some(_) => Measure::Bad,
    }
}

/// The header of a request with its length before it.
pub(super) fn call(head: &[u8]) -> Option<Call> {
    let size = be32(head, 0)?;
    let (api, version, id) = (be16(head, 4)?, be16(head, 6)?, be32(head, 8)?);
    if api > 100 || version > 25 || size < 8 {
        return None;
    }
    let mut call = Call { api, version, id: u64::from(id), client: None, body: 14 };
    match be16(head, 12) {
        Some(u16::MAX) => {}
        Some(length) => {
            let length = usize::from(length);
            let text = head.get(14..14 + length)?;
            if size as usize + 4 < 14 + length || !text.iter().all(|&b| b >= b' ' && b != 0x7f) {
                return None;
            }
            call.client = Some(String::from_utf8_lossy(text).into_owned());
            call.body = 14 + length;
        }
        None => return None,
    }
    Some(call)
}

/// Whether bytes begin with a request.
pub(super) fn sound(bytes: &[u8]) -> Sound {
    match (be32(bytes, 0), be16(bytes, 4), be16(bytes, 6), be16(bytes, 12)) {
        (Some(size), ..) if !(10..=LARGEST).contains(&size) => Sound::No,
        (_, Some(api), ..) if api > 80 => Sound::No,
        (_, _, Some(version), _) if version > 20 => Sound::No,
        (Some(size), _, _, Some(length)) if length != u16::MAX && (length > 255 || size < 10 + u32::from(length)) => {
            Sound::No
        }
        (_, _, _, Some(length)) if length != u16::MAX && bytes.len() < 14 + usize::from(length) => Sound::More,
        (_, _, _, Some(_)) if call(bytes).is_some() => Sound::Yes,
        (_, _, _, Some(_)) => Sound::No,
        _ => Sound::More,
    }
}

/// Whether bytes begin with the answer to a request that waits.
pub(super) fn sound_answer(bytes: &[u8], waits: impl Fn(u64) -> bool) -> Sound {
    match (be32(bytes, 0), be32(bytes, 4)) {
        (Some(size), _) if !(4..=LARGEST).contains(&size) => Sound::No,
        (Some(_), Some(id)) if waits(u64::from(id)) => Sound::Yes,
        (Some(_), Some(_)) => Sound::No,
        _ => Sound::More,
    }
}

/// Reads fields one after the other, in the form that the version has.
struct Fields<'a> {
    rest: &'a [u8],
    compact: bool,
}

impl Fields<'_> {
    fn skip(&mut self, n: usize) -> Option<()> {
        self.rest = self.rest.get(n..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in (0..28).step_by(7) {
            let (&b, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u32::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The tagged fields of a header, where there are none in it that matter.
    fn tags(&mut self) -> Option<()> {
        if !self.compact {
            return Some(());
        }
        for _ in 0..self.varint()?.min(32) {
            self.varint()?;
            let size = self.varint()?;
            self.skip(size as usize)?;
        }
        Some(())
    }

    /// A string; empty for null.
    fn string(&mut self) -> Option<String> {
        let length = if self.compact {
            self.varint()?.saturating_sub(1) as usize
        } else {
            let length = be16(self.rest, 0)?;
            self.skip(2)?;
            if length == u16::MAX { 0 } else { usize::from(length) }
        };
        let text = self.rest.get(..length.min(1024))?;
        self.skip(length)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// The number of elements of an array; 0 for null.
    fn many(&mut self) -> Option<u32> {
        if self.compact {
            return Some(self.varint()?.saturating_sub(1));
        }
        let n = be32(self.rest, 0)?;
        self.skip(4)?;
        Some(if n == u32::MAX { 0 } else { n })
    }

    fn number16(&mut self) -> Option<u16> {
        let n = be16(self.rest, 0)?;
        self.skip(2)?;
        Some(n)
    }
}

/// The first version of an API whose fields are compact and tagged, for those that are looked into.
fn compact_from(api: u16) -> u16 {
    match api {
        0 | 3 => 9,
        1 => 12,
        2 | 9 | 11 => 6,
        8 => 8,
        10 | 18 | 25 | 26 => 3,
        12..=14 => 4,
        22 | 36 => 2,
        _ => u16::MAX,
    }
}

/// What a request is about.
pub(super) fn subject(call: &Call, head: &[u8]) -> Subject {
    let mut subject = Subject::default();
    let _cut = read_subject(call, head, &mut subject);
    subject
}

fn read_subject(call: &Call, head: &[u8], subject: &mut Subject) -> Option<()> {
    let v = call.version;
    let mut f = Fields { rest: head.get(call.body..)?, compact: v >= compact_from(call.api) };
    f.tags()?;
    match call.api {
        0 => {
            if v >= 3 {
                f.string()?;
            }
            subject.unanswered = f.number16()? == 0;
            f.skip(4)?;
            if v < 13 && f.many()? > 0 {
                subject.topic = Some(f.string()?);
            }
        }
        1 if v < 13 => {
            let ints = 12 + if v >= 3 { 4 } else { 0 } + usize::from(v >= 4) + if v >= 7 { 8 } else { 0 };
            f.skip(ints)?;
            if f.many()? > 0 {
                subject.topic = Some(f.string()?);
            }
        }
        2 => {
            f.skip(4 + usize::from(v >= 2))?;
            if f.many()? > 0 {
                subject.topic = Some(f.string()?);
            }
        }
        3 if f.many()? > 0 => {
            f.skip(if v >= 10 { 16 } else { 0 })?;
            subject.topic = Some(f.string()?).filter(|t| !t.is_empty());
        }
        8 | 11..=14 => subject.group = Some(f.string()?),
        9 if v < 8 => subject.group = Some(f.string()?),
        10 if v < 4 => subject.group = Some(f.string()?),
        _ => {}
    }
    Some(())
}

/// The error of an answer, where it stands at a place that is known: that of all of it, or of the first partition.
pub(super) fn error(call: &Call, head: &[u8]) -> Option<u16> {
    let v = call.version;
    let mut f = Fields { rest: head.get(8..)?, compact: v >= compact_from(call.api) };
    // The answer to ApiVersions has the old header, so that each client can read it.
    if call.api != 18 {
        f.tags()?;
    }
    let throttled_from = match call.api {
        17 | 18 | 36 => u16::MAX,
        11 => 2,
        10 | 12 | 13 | 14 => 1,
        22 | 25 | 26 => 0,
        1 if v >= 7 => 0,
        0 => {
            if f.many()? == 0 {
                return None;
            }
            if v >= 13 {
                f.skip(16)?
            } else {
                f.string().map(drop)?
            }
            if f.many()? == 0 {
                return None;
            }
            f.skip(4)?;
            return f.number16();
        }
        _ => return None,
    };
    if v >= throttled_from {
        f.skip(4)?;
    }
    f.number16()
}

/// A code with its name (protocol guide, "Error Codes"), for those that are met in operation.
pub(super) fn error_name(code: u16) -> String {
    let name = match code as i16 {
        -1 => "UNKNOWN_SERVER_ERROR",
        1 => "OFFSET_OUT_OF_RANGE",
        2 => "CORRUPT_MESSAGE",
        3 => "UNKNOWN_TOPIC_OR_PARTITION",
        5 => "LEADER_NOT_AVAILABLE",
        6 => "NOT_LEADER_OR_FOLLOWER",
        7 => "REQUEST_TIMED_OUT",
        9 => "REPLICA_NOT_AVAILABLE",
        10 => "MESSAGE_TOO_LARGE",
        14 => "COORDINATOR_LOAD_IN_PROGRESS",
        15 => "COORDINATOR_NOT_AVAILABLE",
        16 => "NOT_COORDINATOR",
        17 => "INVALID_TOPIC_EXCEPTION",
        19 => "NOT_ENOUGH_REPLICAS",
        20 => "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        22 => "ILLEGAL_GENERATION",
        25 => "UNKNOWN_MEMBER_ID",
        27 => "REBALANCE_IN_PROGRESS",
        29 => "TOPIC_AUTHORIZATION_FAILED",
        30 => "GROUP_AUTHORIZATION_FAILED",
        35 => "UNSUPPORTED_VERSION",
        45 => "OUT_OF_ORDER_SEQUENCE_NUMBER",
        47 => "INVALID_PRODUCER_EPOCH",
        58 => "SASL_AUTHENTICATION_FAILED",
        79 => "MEMBER_ID_REQUIRED",
        code => return code.to_string(),
    };
    format!("{} {name}", code as i16)
}

/// The name of an API.
pub(super) fn name(api: u16) -> String {
    const NAMES: &str = "Produce Fetch ListOffsets Metadata LeaderAndIsr StopReplica UpdateMetadata ControlledShutdown \
        OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup SyncGroup DescribeGroups ListGroups \
        SaslHandshake ApiVersions CreateTopics DeleteTopics DeleteRecords InitProducerId OffsetForLeaderEpoch \
        AddPartitionsToTxn AddOffsetsToTxn EndTxn WriteTxnMarkers TxnOffsetCommit DescribeAcls CreateAcls DeleteAcls \
        DescribeConfigs AlterConfigs AlterReplicaLogDirs DescribeLogDirs SaslAuthenticate CreatePartitions \
        CreateDelegationToken RenewDelegationToken ExpireDelegationToken DescribeDelegationToken DeleteGroups ElectLeaders \
        IncrementalAlterConfigs AlterPartitionReassignments ListPartitionReassignments OffsetDelete DescribeClientQuotas \
        AlterClientQuotas DescribeUserScramCredentials AlterUserScramCredentials Vote BeginQuorumEpoch EndQuorumEpoch \
        DescribeQuorum AlterPartition UpdateFeatures Envelope FetchSnapshot DescribeCluster DescribeProducers \
        BrokerRegistration BrokerHeartbeat UnregisterBroker DescribeTransactions ListTransactions AllocateProducerIds \
        ConsumerGroupHeartbeat ConsumerGroupDescribe ControllerRegistration GetTelemetrySubscriptions PushTelemetry \
        AssignReplicasToDirs ListClientMetricsResources DescribeTopicPartitions";
    NAMES.split_ascii_whitespace().nth(usize::from(api)).map_or_else(|| format!("api {api}"), str::to_owned)
}
