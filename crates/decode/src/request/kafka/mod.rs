//! Kafka (Apache Kafka protocol guide): requests and responses by their correlation id.
//!
//! The key is the name of the API and the first topic, the detail also its version, the client's id and the group, where
//! they stand at a place that is known. Written after the protocol guide and tried against vectors made from it, not
//! against a live broker.

mod wire;

use super::detect::Verdict;
use super::frames::{Event, Frame, Frames, Sound, search};
use super::ids::Waiting;
use super::statement::clipped;
use super::{Dissector, End, Outcome, Protocol, Request, Side, Stamp, missing, sql};
use wire::Call;

/// Whether a side speaks it.
pub fn probe(from: Side, bytes: &[u8]) -> Verdict {
    let Some(size) = wire::be32(bytes, 0) else { return Verdict::More };
    match from {
        Side::Client => match wire::sound(bytes) {
            Sound::Yes if bytes.len() >= 14 => Verdict::Yes,
            Sound::Yes | Sound::More => Verdict::More,
            Sound::No => Verdict::No,
        },
        // Of an answer only its length and a number are known.
        Side::Server => match wire::be32(bytes, 4) {
            Some(id) if size as usize + 4 == bytes.len() && size >= 6 && id < 1 << 20 => Verdict::Likely,
            None if size < 1 << 20 => Verdict::More,
            Some(id) if size < 1 << 26 && size as usize + 4 > bytes.len() && id < 1 << 20 => Verdict::Likely,
            _ => Verdict::No,
        },
    }
}

/// Reads a connection.
#[derive(Debug, Default)]
pub struct Kafka {
    sides: [Frames; 2],
    waiting: Waiting,
    /// API and version of the requests that wait, by correlation id.
    calls: std::collections::HashMap<u64, Call>,
    unread: u64,
}

impl Kafka {
    /// Reads a connection from its start or from its midst.
    pub fn new() -> Kafka {
        Kafka::default()
    }

    fn message(&mut self, from: Side, frame: &Frame<'_>, out: &mut Vec<Request>) {
        match from {
            Side::Client => self.request(frame, out),
            Side::Server => self.response(frame, out),
        }
    }

    fn request(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let head = &*frame.head;
        let Some(call) = wire::call(head) else {
            // A token of SASL without a header, or what is no request.
            self.unread += frame.captured;
            return;
        };
        let mut request = Request::begins(Protocol::Kafka, frame.first);
        request.sent = Some(frame.last);
        request.request_bytes = frame.total;
        request.missing |= if frame.missing { missing::REQUEST } else { 0 };
        request.id = Some(call.id);
        let name = wire::name(call.api);
        let subject = wire::subject(&call, head);
        request.key = clipped(&match &subject.topic {
            Some(topic) => format!("{name} {topic}"),
            None => name.clone(),
        });
        request.target = clipped(subject.topic.as_deref().unwrap_or_default());
        let mut detail = format!("{} v{}", request.key, call.version);
        for (what, value) in [("group", &subject.group), ("client", &call.client)] {
            if let Some(value) = value {
                detail += &format!(" {what}={value}");
            }
        }
        request.detail = clipped(&detail);
        // A header of a record, where the batch is not compressed.
        request.traceparent = sql::traceparent(head);
        if subject.unanswered {
            request.outcome = Outcome::Ok;
            out.push(request);
            return;
        }
        if self.calls.len() > 8192 {
            self.calls.retain(|id, _| self.waiting.has(*id));
        }
        self.waiting.put(call.id, request, out);
        self.calls.insert(call.id, call);
    }

    fn response(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let id = wire::be32(&frame.head, 4).map(u64::from);
        let Some((call, mut request)) = id.and_then(|id| Some((self.calls.remove(&id)?, self.waiting.take(id)?)))
        else {
            self.unread += frame.captured;
            return;
        };
        request.first = Some(frame.first);
        request.end = Some(frame.last);
        request.response_bytes = frame.total;
        request.missing |= if frame.missing { missing::RESPONSE } else { 0 };
        request.outcome = Outcome::Ok;
        if let Some(code) = wire::error(&call, &frame.head).filter(|&c| c != 0) {
            request.outcome = Outcome::Error;
            request.code = wire::error_name(code);
        }
        out.push(request);
    }

    fn lost(&mut self, from: Side) {
        if from == Side::Server {
            self.waiting.mark(missing::RESPONSE);
        }
    }
}

impl Dissector for Kafka {
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>) {
        let mut rest = bytes;
        loop {
            let waiting = &self.waiting;
            let found = |b: &[u8]| match from {
                Side::Client => wire::sound(b),
                Side::Server => wire::sound_answer(b, |id| waiting.has(id)),
            };
            let event = self.sides[from.index()].next(&mut rest, at, |b| wire::measure(from, b), |b| search(b, found));
            match event {
                None => return,
                Some(Event::Message(frame)) => self.message(from, &frame, out),
                Some(Event::Lost) => self.lost(from),
                Some(Event::Found(_)) => {}
            }
        }
    }

    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        let (frame, lost) = self.sides[from.index()].gap(at, len);
        if let Some(frame) = frame {
            self.message(from, &frame, out);
        }
        if lost {
            self.lost(from);
        }
    }

    fn end(&mut self, how: End, _at: Stamp, out: &mut Vec<Request>) {
        if let (Some((first, bytes)), Some(request)) = (self.sides[1].partial(), self.waiting.only()) {
            request.first.get_or_insert(first);
            request.response_bytes += bytes;
        }
        self.calls.clear();
        self.waiting.end(how, out);
    }

    fn unread(&self) -> u64 {
        self.unread + self.sides[0].unread() + self.sides[1].unread()
    }
}

#[cfg(test)]
mod tests;
