//! What strangers send a relayer: requests of clients, streams and answers of providers. Whatever it is, it is read within bounds
//! or refused, and what was read is written so that it reads the same.

use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use steam::relay::dialect::{self, Billed, Dialect, Outgoing, Piece, Request, Usage};
use steam::relay::json::{self, Document};
use steam::relay::meter::{Bounds, Own, bill};
use steam::relay::plan::Input;
use steam::relay::sse;
use steam::relay::transcript::Transcript;
use steam::tokens::{Counted, Counting};
use steam_protocol::capability;
use steam_protocol::units::{Pico, Price};

/// The APIs of clients and of providers.
const PATHS: [&str; 5] = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions", "/v1/embeddings"];
/// The least that a request of each has.
const LEAST: [&str; 5] = [
    r#"{"model":"m","messages":[{"role":"user","content":"a"}],"n":2}"#,
    r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}]}"#,
    r#"{"model":"m","input":"a"}"#,
    r#"{"model":"m","prompt":["a","b"]}"#,
    r#"{"model":"m","input":["a","b"]}"#,
];
/// Most bytes of an event.
const LIMIT: usize = 1 << 10;
/// Most output tokens of each answer.
const MAX_OUTPUT: u32 = 16;

/// The first byte, and what follows it.
fn split(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((0, &[]), |(first, rest)| (usize::from(*first), rest))
}

fn dialect_at(place: usize) -> &'static dyn Dialect {
    dialect::of_path(PATHS[place % PATHS.len()]).expect("a dialect of that path")
}

/// Server-sent events mean the same however the stream is cut, and none is larger than allowed.
pub fn events(data: &[u8]) {
    let (size, text) = split(data);
    let read = |limit: usize, pieces: Vec<&[u8]>| {
        let mut parser = sse::Parser::new(limit);
        let pushed = pieces.into_iter().try_for_each(|piece| parser.push(piece)).and_then(|()| parser.finish());
        let events: Vec<sse::Event> = std::iter::from_fn(|| parser.pop()).collect();
        (pushed.is_ok(), events)
    };
    let (complete, whole) = read(LIMIT, vec![text]);
    let (cut_complete, cut) = read(LIMIT, text.chunks(size.max(1)).collect());
    assert_eq!((complete, &whole), (cut_complete, &cut));
    assert!(whole.iter().all(|event| event.data.len() <= LIMIT));
    for event in &whole {
        let mut written = BytesMut::new();
        if event.name == sse::Name::Usual {
            sse::write_data(&mut written, &event.data);
            assert_eq!(read(2 * LIMIT, vec![&written[..]]).1, std::slice::from_ref(event));
        }
    }
}

/// JSON that is read strictly is read the same by everybody, and an edit of nothing changes nothing.
pub fn json(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let mut repaired = None;
    if let Some((read, data)) = json::lenient::<Value>(&bytes, &mut repaired) {
        assert_eq!(serde_json::from_slice::<Value>(data).expect("what was repaired is JSON"), read);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Who writes the mark of kept digits as a text gets a number: it is its own request.
    if json::check(text).is_err() || text.contains("\\u0001") {
        return;
    }
    let exact = json::read_exact(text).expect("what is checked is JSON");
    let written = json::write_exact(&exact);
    assert_eq!(json::read_exact(&written).expect("what was written is JSON"), exact);
    if let Ok(document) = Document::read(bytes) {
        let edited = document.object().edited(&[]);
        let same = |text: &str| json::read_exact(text).expect("an object");
        assert_eq!(same(&edited), same(text));
    }
}

/// A request is refused, or what becomes of it for a provider, in its own dialect or in another, is a request of that dialect
/// which means as much.
pub fn request(data: &[u8]) {
    let (place, body) = split(data);
    let dialect = dialect_at(place);
    let Ok(request) = dialect.read(Bytes::copy_from_slice(body), &HeaderMap::new()) else { return };
    assert!(!request.models.is_empty());
    let prompt = dialect.prompt(&request).texts;
    for spoken in [capability::CHAT, capability::MESSAGES, capability::RESPONSES, dialect.capability()] {
        let Ok(other) = request.dialect_for(spoken) else { continue };
        let outgoing = Outgoing {
            document: request.said_in(other).expect("it was chosen"),
            stream: request.stream,
            model: "m",
            max_output: Some(request.max_output.unwrap_or(MAX_OUTPUT)),
            capabilities: u64::MAX,
        };
        let sent = other.body(&outgoing).expect("a body");
        let text = String::from_utf8_lossy(&sent).into_owned();
        let again = other.read(sent, &HeaderMap::new()).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!((again.models.as_slice(), again.stream), (&["m".to_owned()][..], request.stream), "{text}");
        assert_eq!(again.choices, request.choices, "{text}");
        if other.capability() == dialect.capability() {
            assert_eq!(other.prompt(&again).texts, prompt, "{text}");
        }
    }
}

/// A provider's answer is read within bounds or refused. What of it reaches the client is JSON, and is billed within the hold.
pub fn answer(data: &[u8]) {
    let (kind, body) = split(data);
    let (client, provider) = (dialect_at(kind), dialect_at(kind / PATHS.len()));
    let streamed = kind >= 128;
    let least = LEAST[kind % PATHS.len()];
    let request = client.read(Bytes::from_static(least.as_bytes()), &HeaderMap::new()).expect("a request");
    let Ok(provider) = request.dialect_for(provider.capability()) else { return };
    let reader = request.reader(provider, 1, 9);
    let mut transcript = Transcript::new(Counting::Bytes, request.choices, MAX_OUTPUT, reader);
    if streamed {
        stream(&mut transcript, &request, body);
    } else if let Ok((whole, _)) = transcript.whole(Bytes::copy_from_slice(body)) {
        let written = client.writer().whole(&whole, transcript.counts.stated_usage.as_deref(), &billed(&transcript));
        serde_json::from_slice::<Value>(&written).unwrap_or_else(|error| panic!("{error}: {written:?}"));
    }
    assert!(transcript.counts.delivered.bytes() <= (64 << 10) + (body.len() as u64));
    metered(transcript.counts.usage, &transcript);
}

fn stream(transcript: &mut Transcript, request: &Request, body: &[u8]) {
    let mut parser = sse::Parser::new(LIMIT);
    let _ = parser.push(body);
    let _ = parser.finish();
    let mut writer = request.dialect.writer();
    let mut out = BytesMut::new();
    while let Some(event) = parser.pop() {
        match transcript.event(&event) {
            Err(_) => return,
            Ok((Piece::Data(data) | Piece::Usage(data), _)) => {
                serde_json::from_slice::<Value>(&data).unwrap_or_else(|error| panic!("{error}: {data:?}"));
                writer.event(&data, &mut out);
            }
            Ok((Piece::Composed(data), _)) => {
                for data in data {
                    serde_json::from_slice::<Value>(&data).unwrap_or_else(|error| panic!("{error}: {data:?}"));
                }
            }
            Ok((Piece::Own, _)) => {}
            Ok((Piece::End(_), _)) => break,
        }
    }
    writer.usage(transcript.counts.stated_usage.as_deref(), &billed(transcript), &mut out);
    writer.cut(&transcript.counts.unfinished(), &mut out);
}

fn billed(transcript: &Transcript) -> Billed {
    Billed::from(&metered(transcript.counts.usage, transcript))
}

/// The bill of a claim, which is within the hold whatever is claimed.
fn metered(claim: Option<Usage>, transcript: &Transcript) -> steam::relay::meter::Bill {
    let counts = &transcript.counts;
    let text = Counted { bytes: 9, tokens: 3 };
    let own = Own {
        input: Input { counting: Counting::Bytes, text, image_tokens: 0 },
        delivered: counts.delivered.total(),
        reasoning: counts.reasoning.total(),
        calls: counts.calls(),
        hidden: MAX_OUTPUT.into(),
        writes: dialect::CacheWrites::Any,
    };
    let price = Price { cache_write: 2_000_000, ..Price::basic(1_000_000, 100_000, 2_000_000, 5) };
    let bounds = Bounds { price: price.into(), fee_bps: 100, held: Pico(100_000_000), max_output: MAX_OUTPUT };
    let bill = bill(claim, &own, &bounds);
    assert!(bill.total <= bounds.held && bill.usage.output <= MAX_OUTPUT);
    bill
}
