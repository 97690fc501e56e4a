//! Commands of Redis: which have a subcommand, and which of their words is the name of a key.

/// Commands whose second word is part of their name.
const CONTAINERS: &str = "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SENTINEL \
    SLOWLOG XGROUP XINFO";

/// Commands whose first word behind their name is a key or a channel.
const KEYED: &str = "APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS BLMOVE BLPOP BRPOP BRPOPLPUSH BZPOPMAX BZPOPMIN COPY DECR \
    DECRBY DEL DUMP EXISTS EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER GEOSEARCH \
    GEOSEARCHSTORE GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HEXISTS HEXPIRE HGET HGETALL HINCRBY HINCRBYFLOAT HKEYS HLEN \
    HMGET HMSET HPERSIST HPTTL HRANDFIELD HSCAN HSET HSETNX HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT LCS LINDEX LINSERT \
    LLEN LMOVE LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MGET MOVE MSET MSETNX PERSIST PEXPIRE PEXPIREAT PEXPIRETIME \
    PFADD PFCOUNT PFMERGE PSETEX PSUBSCRIBE PTTL PUBLISH PUNSUBSCRIBE RENAME RENAMENX RESTORE RPOP RPOPLPUSH RPUSH RPUSHX \
    SADD SCARD SDIFF SDIFFSTORE SET SETBIT SETEX SETNX SETRANGE SINTER SINTERSTORE SISMEMBER SMEMBERS SMISMEMBER SMOVE SORT \
    SORT_RO SPOP SPUBLISH SRANDMEMBER SREM SSCAN SSUBSCRIBE STRLEN SUBSCRIBE SUBSTR SUNION SUNIONSTORE SUNSUBSCRIBE TOUCH \
    TTL TYPE UNLINK UNSUBSCRIBE WATCH XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN XPENDING XRANGE XREVRANGE XSETID XTRIM ZADD \
    ZCARD ZCOUNT ZDIFFSTORE ZINCRBY ZINTERSTORE ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX \
    ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX \
    ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNIONSTORE";

/// Commands whose first key stands behind their own number of keys, which is this word.
const COUNTED: [(&str, usize); 16] = [
    ("EVAL", 2),
    ("EVALSHA", 2),
    ("EVAL_RO", 2),
    ("EVALSHA_RO", 2),
    ("FCALL", 2),
    ("FCALL_RO", 2),
    ("LMPOP", 1),
    ("BLMPOP", 2),
    ("ZMPOP", 1),
    ("BZMPOP", 2),
    ("SINTERCARD", 1),
    ("ZDIFF", 1),
    ("ZINTER", 1),
    ("ZINTERCARD", 1),
    ("ZUNION", 1),
    ("BITOP", 1),
];

/// Words of a command that are looked at; a longer one is read to its end by count.
pub(super) const WORDS: usize = 5;

fn among(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|n| n == name)
}

/// The name of a command and its subcommand, and the name of its first key where it is known to have one.
pub(super) fn describe(words: &[Vec<u8>]) -> (String, Option<String>) {
    let text = |at: usize| words.get(at).map(|w| String::from_utf8_lossy(w).into_owned());
    let mut name: String = text(0).unwrap_or_default().to_ascii_uppercase().chars().take(64).collect();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return ("unknown".into(), None);
    }
    let mut key = None;
    if among(CONTAINERS, &name) {
        let sub = text(1).filter(|s| s.len() < 32 && s.bytes().all(|b| b.is_ascii_alphabetic() || b"-_".contains(&b)));
        if let Some(sub) = sub {
            name = format!("{name} {}", sub.to_ascii_uppercase());
        }
    } else if among(KEYED, &name) {
        key = text(1);
    } else if let Some((_, count)) = COUNTED.iter().find(|c| c.0 == name) {
        key = text(count + 1).filter(|_| words.get(*count).is_some_and(|n| n.as_slice() != b"0"));
    }
    (name, key)
}
