//! Server-sent events as providers write them: any line ending, several `data` lines, comments, a byte order mark, cut at
//! any byte. The data of an event keeps its bytes.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::{memchr_iter, memchr2};
use std::collections::VecDeque;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: Name,
    /// Its data.
    pub data: Bytes,
}

/// The name of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// None, or `message`, which is the same.
    #[default]
    Usual,
    /// `error`.
    Error,
    /// Another one.
    Other,
}

/// An event or a line of it is larger than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than allowed")]
pub struct TooLarge;

/// Reads events out of pieces of a stream.
#[derive(Debug)]
pub struct Parser {
    /// Most bytes of a line and of an event's data.
    limit: usize,
    /// A line that has not ended.
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    name: Name,
    /// Whether a comment or an event ended since that was last asked.
    alive: bool,
    /// The last byte was `\r`: a `\n` now belongs to it.
    after_cr: bool,
    at_start: bool,
    ready: VecDeque<Event>,
}

impl Parser {
    /// A parser that takes events of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            name: Name::Usual,
            alive: false,
            after_cr: false,
            at_start: true,
            ready: VecDeque::new(),
        }
    }

    /// Whether a comment or an event has come since this was last asked: a provider that thinks sends comments.
    pub fn take_alive(&mut self) -> bool {
        std::mem::take(&mut self.alive)
    }

    /// The next event that is complete.
    pub fn pop(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Takes the next piece of the stream.
    ///
    /// # Errors
    /// [`TooLarge`]; the stream cannot be read on.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), TooLarge> {
        while !piece.is_empty() {
            if std::mem::take(&mut self.after_cr) && piece[0] == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', piece) else {
                self.extend_line(piece)?;
                return Ok(());
            };
            self.after_cr = piece[end] == b'\r';
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            piece = rest;
            // A line that came whole is not copied.
            if self.line.is_empty() && line.len() <= self.limit {
                self.end_line(line)?;
                continue;
            }
            self.extend_line(line)?;
            let line = std::mem::take(&mut self.line);
            self.end_line(&line)?;
            self.line = line;
            self.line.clear();
        }
        Ok(())
    }

    /// The stream has ended: an event that lacks its empty line counts nevertheless.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn finish(&mut self) -> Result<(), TooLarge> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.end_line(&line)?;
        }
        self.end_line(b"")
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.line.len() + bytes.len() > self.limit {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, mut line: &[u8]) -> Result<(), TooLarge> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            self.end_event();
            return Ok(());
        }
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..])),
            None => (line, &[][..]),
        };
        match name {
            b"data" => {
                if self.data.len() + value.len() >= self.limit {
                    return Err(TooLarge);
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.name = match value {
                    b"" | b"message" => Name::Usual,
                    b"error" => Name::Error,
                    _ => Name::Other,
                };
            }
            // A comment.
            b"" => self.alive = true,
            // Ids and retry times mean nothing here.
            _ => {}
        }
        Ok(())
    }

    fn end_event(&mut self) {
        let name = std::mem::take(&mut self.name);
        if std::mem::take(&mut self.has_data) {
            self.alive = true;
            let data = Bytes::from(std::mem::take(&mut self.data));
            // Some send an event without data to keep a connection open.
            if name == Name::Error || !data.trim_ascii().is_empty() {
                self.ready.push_back(Event { name, data });
            }
        }
    }
}

/// Appends an event with its name, for clients that need one.
pub fn write_event(name: &str, data: &[u8], out: &mut BytesMut) {
    // A name is one line: a provider must not write another event into it.
    let line = memchr2(b'\n', b'\r', name.as_bytes()).and_then(|end| name.get(..end)).unwrap_or(name);
    out.put_slice(b"event: ");
    out.put_slice(line.as_bytes());
    out.put_u8(b'\n');
    write_data(out, data);
}

/// Appends an event: `data: …` and an empty line. Data of several lines are written as several, as they came.
pub fn write_data(out: &mut BytesMut, data: &[u8]) {
    let mut start = 0;
    for end in memchr_iter(b'\n', data).chain([data.len()]) {
        out.put_slice(b"data: ");
        out.put_slice(&data[start..end]);
        out.put_u8(b'\n');
        start = end + 1;
    }
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = Parser::new(1_000);
        for piece in pieces {
            parser.push(piece).unwrap();
        }
        parser.finish().unwrap();
        std::iter::from_fn(|| parser.pop())
            .map(|event| format!("{}{}", mark(event.name), String::from_utf8_lossy(&event.data)))
            .collect()
    }

    fn mark(name: Name) -> &'static str {
        match name {
            Name::Usual => "",
            Name::Error => "!",
            Name::Other => "?",
        }
    }

    const STREAM: &str = "\u{feff}: comment\r\n\r\ndata: {\"a\":1}\n\nid: 7\nretry\ndata:two\rdata:  lines\r\revent: error\r\ndata: é\r\n\r\n\n\ndata\n\nevent: ping\ndata: {}\n\nevent: message\ndata: [DONE]\n\n";

    #[test]
    fn every_line_ending_is_read() {
        assert_eq!(read(&[STREAM.as_bytes()]), ["{\"a\":1}", "two\n lines", "!é", "?{}", "[DONE]"]);
    }

    #[test]
    fn a_stream_cut_at_any_two_bytes_reads_the_same() {
        let bytes = STREAM.as_bytes();
        let whole = read(&[bytes]);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(read(&pieces), whole, "cut at {first} and {second}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single), whole);
    }

    #[test]
    fn an_event_without_its_empty_line_counts_at_the_end() {
        assert_eq!(read(&[b"data: 1\n\ndata: [DONE]"]), ["1", "[DONE]"]);
        assert_eq!(read(&[b": only a comment"]), Vec::<String>::new());
    }

    #[test]
    fn comments_and_events_are_life_and_parts_of_them_are_none() {
        let mut parser = Parser::new(100);
        for (piece, alive) in [
            (": wa", false),
            ("it\n", true),
            ("\n", false),
            ("data: 1", false),
            ("\n", false),
            ("\n", true),
            ("id: 7\n\n", false),
            ("data:\n\n", true),
        ] {
            parser.push(piece.as_bytes()).unwrap();
            assert_eq!(parser.take_alive(), alive, "{piece:?}");
        }
        assert!(!parser.take_alive());
    }

    #[test]
    fn an_endless_line_or_event_is_refused() {
        let mut parser = Parser::new(100);
        assert_eq!(parser.push(&[b'x'; 101]), Err(TooLarge));
        let mut parser = Parser::new(100);
        let refused = (0..100).find_map(|_| parser.push(b"data: 0123456789\n").err());
        assert_eq!(refused, Some(TooLarge));
    }
}
