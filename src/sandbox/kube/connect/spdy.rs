//! The part of SPDY/3.1 that Kubernetes' streaming uses: streams that the
//! client opens with headers, replies, data, ends and pings. There is no flow
//! control, as there is none in the clients.
//!
//! Headers are compressed with one zlib context for each direction and the
//! dictionary of the protocol's specification.

use std::collections::HashMap;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

const VERSION: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
/// The flag of a frame that is its sender's last on the stream.
const FIN: u8 = 1;
/// Larger frames are no honest client's.
const FRAME_LIMIT: usize = 1 << 20;

/// The words that the dictionary begins with, each after its length.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding \
    accept-language accept-ranges age allow authorization cache-control connection content-base \
    content-encoding content-language content-length content-location content-md5 content-range \
    content-type date etag expect expires from host if-match if-modified-since if-none-match \
    if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate \
    proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url \
    public set-cookie keep-alive origin";
/// What follows them.
const PHRASES: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415\
    416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad \
    Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not \
    Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 \
    Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
    application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,\
    deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.split_whitespace() {
        let word = word.replace('_', " ");
        bytes.extend(u32::try_from(word.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes.extend(PHRASES.as_bytes());
    bytes
}

/// A stream that the client opened.
pub(super) struct Stream {
    /// Its headers; names are in lower case.
    pub(super) headers: HashMap<String, String>,
    /// What the client sends, until it ends its half.
    pub(super) incoming: mpsc::UnboundedReceiver<Bytes>,
    /// The other half.
    pub(super) outgoing: Outgoing,
}

/// The server's half of a stream. Dropping it ends the half.
pub(super) struct Outgoing {
    id: u32,
    frames: mpsc::Sender<Vec<u8>>,
    ended: bool,
}

impl Outgoing {
    /// Sends data; says whether there is still somebody to send to.
    pub(super) async fn send(&self, data: &[u8]) -> bool {
        self.frames.send(data_frame(self.id, 0, data)).await.is_ok()
    }

    /// Ends the half.
    pub(super) async fn finish(mut self) {
        self.ended = true;
        let _ = self.frames.send(data_frame(self.id, FIN, &[])).await;
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.frames.try_send(data_frame(self.id, FIN, &[]));
        }
    }
}

fn data_frame(id: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = id.to_be_bytes().to_vec();
    let length = u32::try_from(data.len()).unwrap_or(0);
    frame.extend((length | u32::from(flags) << 24).to_be_bytes());
    frame.extend(data);
    frame
}

fn control_frame(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = VERSION.to_be_bytes().to_vec();
    frame.extend(kind.to_be_bytes());
    let length = u32::try_from(payload.len()).unwrap_or(0);
    frame.extend((length | u32::from(flags) << 24).to_be_bytes());
    frame.extend(payload);
    frame
}

/// Serves a connection: every stream that the client opens is accepted and
/// given to `opened`. Returns when the connection ends.
pub(super) async fn serve<S>(io: S, mut opened: impl FnMut(Stream))
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut reader, mut writer) = tokio::io::split(io);
    let (frames, mut queued) = mpsc::channel::<Vec<u8>>(64);
    let writing = tokio::spawn(async move {
        while let Some(frame) = queued.recv().await {
            if writer.write_all(&frame).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    });
    let mut session = Session::new(frames);
    loop {
        let mut head = [0; 8];
        if reader.read_exact(&mut head).await.is_err() {
            break;
        }
        let [a, b, c, d, flags, length @ ..] = head;
        let length = length.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        if length > FRAME_LIMIT {
            break;
        }
        let mut payload = vec![0; length];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        if a & 0x80 == 0 {
            let id = u32::from_be_bytes([a, b, c, d]);
            session.data(id, flags, payload);
        } else {
            let kind = u16::from_be_bytes([c, d]);
            if kind == GOAWAY {
                break;
            }
            match session.control(kind, flags, &payload).await {
                Ok(Some(stream)) => opened(stream),
                Ok(None) => {}
                Err(()) => break,
            }
        }
    }
    drop(session);
    let _ = writing.await;
}

struct Session {
    frames: mpsc::Sender<Vec<u8>>,
    streams: HashMap<u32, mpsc::UnboundedSender<Bytes>>,
    inflate: Decompress,
    deflate: Compress,
    dictionary: Vec<u8>,
}

impl Session {
    fn new(frames: mpsc::Sender<Vec<u8>>) -> Self {
        let dictionary = dictionary();
        let mut deflate = Compress::new(Compression::fast(), true);
        // Without the dictionary the headers would only be longer.
        let _ = deflate.set_dictionary(&dictionary);
        Self {
            frames,
            streams: HashMap::new(),
            inflate: Decompress::new(true),
            deflate,
            dictionary,
        }
    }

    fn data(&mut self, id: u32, flags: u8, payload: Vec<u8>) {
        if let Some(stream) = self.streams.get(&id)
            && !payload.is_empty()
        {
            let _ = stream.send(payload.into());
        }
        if flags & FIN != 0 {
            self.streams.remove(&id);
        }
    }

    async fn control(
        &mut self,
        kind: u16,
        flags: u8,
        payload: &[u8],
    ) -> Result<Option<Stream>, ()> {
        match kind {
            SYN_STREAM => self.open(flags, payload).await.map(Some),
            RST_STREAM => {
                self.streams.remove(&number(payload, 0).ok_or(())?);
                Ok(None)
            }
            PING => {
                let answer = control_frame(PING, 0, payload);
                self.frames.send(answer).await.map_err(drop)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    async fn open(&mut self, flags: u8, payload: &[u8]) -> Result<Stream, ()> {
        let id = number(payload, 0).ok_or(())?;
        let block = payload.get(10..).ok_or(())?;
        let block = self.inflated(block).ok_or(())?;
        let headers = headers(&block).ok_or(())?;
        let (sender, incoming) = mpsc::unbounded_channel();
        if flags & FIN == 0 {
            self.streams.insert(id, sender);
        }
        let mut reply = id.to_be_bytes().to_vec();
        // No headers to reply with.
        reply.extend(self.deflated(&0_u32.to_be_bytes()).ok_or(())?);
        let reply = control_frame(SYN_REPLY, 0, &reply);
        self.frames.send(reply).await.map_err(drop)?;
        let outgoing = Outgoing {
            id,
            frames: self.frames.clone(),
            ended: false,
        };
        Ok(Stream {
            headers,
            incoming,
            outgoing,
        })
    }

    fn inflated(&mut self, mut block: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(4096);
        loop {
            let before = self.inflate.total_in();
            let result = self
                .inflate
                .decompress_vec(block, &mut out, FlushDecompress::Sync);
            let used = usize::try_from(self.inflate.total_in() - before).ok()?;
            block = block.get(used..)?;
            match result {
                Ok(Status::StreamEnd) => return Some(out),
                Ok(_) if block.is_empty() && out.len() < out.capacity() => return Some(out),
                Ok(_) if out.len() == out.capacity() && out.len() < FRAME_LIMIT => {
                    out.reserve(4096);
                }
                Ok(_) => return None,
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&self.dictionary).ok()?;
                }
                Err(_) => return None,
            }
        }
    }

    fn deflated(&mut self, block: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(256);
        self.deflate
            .compress_vec(block, &mut out, FlushCompress::Sync)
            .ok()?;
        Some(out)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// Reads a block of names and values.
fn headers(block: &[u8]) -> Option<HashMap<String, String>> {
    let mut at = 4;
    let mut text = || {
        let length = usize::try_from(number(block, at)?).ok()?;
        let bytes = block.get(at + 4..at + 4 + length)?;
        at += 4 + length;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    (0..number(block, 0)?)
        .map(|_| Some((text()?.to_ascii_lowercase(), text()?)))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_that_of_the_specification() {
        let bytes = dictionary();
        let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (b + a) % 65521)
        });
        assert_eq!((bytes.len(), b << 16 | a), (1423, 0xe3c6_a7c2));
    }

    /// A client's side of one connection.
    pub(in super::super) struct Client<S> {
        io: S,
        deflate: Compress,
        next: u32,
    }

    impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
        pub(in super::super) fn new(io: S) -> Self {
            let mut deflate = Compress::new(Compression::fast(), true);
            deflate.set_dictionary(&dictionary()).unwrap();
            Self {
                io,
                deflate,
                next: 1,
            }
        }

        pub(in super::super) async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
            let mut block = u32::try_from(headers.len()).unwrap().to_be_bytes().to_vec();
            for text in headers.iter().flat_map(|(name, value)| [name, value]) {
                block.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                block.extend(text.as_bytes());
            }
            let id = self.next;
            self.next += 2;
            let mut payload = id.to_be_bytes().to_vec();
            payload.extend([0; 6]);
            let mut packed = Vec::with_capacity(1024);
            self.deflate
                .compress_vec(&block, &mut packed, FlushCompress::Sync)
                .unwrap();
            payload.extend(packed);
            let frame = control_frame(SYN_STREAM, 0, &payload);
            self.io.write_all(&frame).await.unwrap();
            id
        }

        pub(in super::super) async fn send(&mut self, id: u32, data: &[u8]) {
            self.io.write_all(&data_frame(id, 0, data)).await.unwrap();
        }

        /// What comes on a stream until it ends.
        pub(in super::super) async fn read(&mut self, id: u32) -> Vec<u8> {
            let mut all = Vec::new();
            loop {
                let mut head = [0; 8];
                self.io.read_exact(&mut head).await.unwrap();
                let length = usize::try_from(number(&head, 4).unwrap() & 0xff_ffff).unwrap();
                let mut payload = vec![0; length];
                self.io.read_exact(&mut payload).await.unwrap();
                if number(&head, 0) == Some(id) {
                    all.extend(payload);
                    if head[4] & FIN != 0 {
                        return all;
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn streams_open_with_headers_and_echo() {
        let (near, far) = tokio::io::duplex(4096);
        tokio::spawn(serve(far, |mut stream| {
            tokio::spawn(async move {
                let kind = stream.headers["streamtype"].clone();
                let data = stream.incoming.recv().await.unwrap();
                stream.outgoing.send(kind.as_bytes()).await;
                stream.outgoing.send(&data).await;
                stream.outgoing.finish().await;
            });
        }));
        let mut client = Client::new(near);
        for word in ["data", "error"] {
            let id = client.open(&[("streamtype", word), ("port", "80")]).await;
            client.send(id, b"!").await;
            assert_eq!(client.read(id).await, format!("{word}!").as_bytes());
        }
    }
}
