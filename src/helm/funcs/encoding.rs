//! Base 64, base 32 and checksums.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Args, Function, Param, Returned, plain};
use crate::helm::engine::Run;
use crate::helm::value::Value;

const S: Param = Param::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("b64enc", &[S], |_, v| {
        Ok(Value::from(STANDARD.encode(Args::new(v).bytes())))
    }),
    plain("b64dec", &[S], |_, v| {
        let text = Args::new(v).bytes();
        Ok(decode_base64(&text).map_or_else(
            |at| Value::from(format!("illegal base64 data at input byte {at}")),
            Value::from,
        ))
    }),
    plain("b32enc", &[S], |_, v| {
        Ok(Value::from(encode_base32(&Args::new(v).bytes())))
    }),
    plain("b32dec", &[S], b32dec),
    plain("sha1sum", &[S], |_, v| {
        use sha1::Digest as _;
        Ok(hex(&sha1::Sha1::digest(Args::new(v).bytes())))
    }),
    plain("sha256sum", &[S], |_, v| {
        Ok(digest(&ring::digest::SHA256, v))
    }),
    plain("sha512sum", &[S], |_, v| {
        Ok(digest(&ring::digest::SHA512, v))
    }),
    plain("adler32sum", &[S], |_, v| {
        Ok(Value::from(adler32(&Args::new(v).bytes()).to_string()))
    }),
];

fn hex(bytes: &[u8]) -> Value {
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Value::from(text)
}

fn digest(algorithm: &'static ring::digest::Algorithm, values: Vec<Value>) -> Value {
    hex(ring::digest::digest(algorithm, &Args::new(values).bytes()).as_ref())
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

/// Decodes as Go does: line ends are skipped. The error is the byte at which
/// Go stops.
pub(super) fn decode_base64(text: &[u8]) -> Result<Vec<u8>, usize> {
    let kept: Vec<(usize, u8)> = text
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, c)| !matches!(c, b'\r' | b'\n'))
        .collect();
    let packed: Vec<u8> = kept.iter().map(|(_, c)| *c).collect();
    if let Ok(bytes) = STANDARD.decode(&packed) {
        return Ok(bytes);
    }
    let value = |c: u8| STANDARD_ALPHABET.iter().position(|a| *a == c);
    // Bits that hang over are fine for Go.
    let body: Vec<u8> = packed.iter().copied().take_while(|c| *c != b'=').collect();
    let padding = packed.len() - body.len();
    let well_formed = packed.iter().skip(body.len()).all(|c| *c == b'=')
        && packed.len().is_multiple_of(4)
        && padding <= 2
        && body.iter().all(|c| value(*c).is_some());
    if well_formed {
        let mut out = Vec::new();
        let mut bits = 0_u32;
        let mut count = 0;
        for c in body {
            bits = bits << 6 | u32::try_from(value(c).unwrap_or(0)).unwrap_or(0);
            count += 6;
            if count >= 8 {
                count -= 8;
                out.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
            }
        }
        return Ok(out);
    }
    Err(error_place(&kept, text.len()))
}

const STANDARD_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn error_place(kept: &[(usize, u8)], len: usize) -> usize {
    for (quantum, group) in kept.chunks(4).enumerate() {
        for (j, (at, c)) in group.iter().enumerate() {
            if STANDARD_ALPHABET.contains(c) {
                continue;
            }
            if *c != b'=' || j < 2 {
                return *at;
            }
            let next = kept.get(quantum * 4 + j + 1);
            if j == 2 {
                match next {
                    None => return len,
                    Some((at, b'=')) => {
                        return kept.get(quantum * 4 + 4).map_or(*at, |(at, _)| *at);
                    }
                    Some((at, _)) => return at - 1,
                }
            }
            return next.map_or(*at, |(at, _)| *at);
        }
        if group.len() < 4 {
            return len - group.len();
        }
    }
    len
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn encode_base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut block = [0_u8; 5];
        for (slot, byte) in block.iter_mut().zip(chunk) {
            *slot = *byte;
        }
        let bits = block
            .iter()
            .fold(0_u64, |bits, b| bits << 8 | u64::from(*b));
        let used = (chunk.len() * 8).div_ceil(5);
        for i in 0..8 {
            if i < used {
                let index = usize::try_from(bits >> (35 - 5 * i) & 31).unwrap_or(0);
                out.push(char::from(BASE32.get(index).copied().unwrap_or(b'A')));
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn b32dec(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let text = Args::new(values).bytes();
    let kept: Vec<(usize, u8)> = text
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, c)| !matches!(c, b'\r' | b'\n'))
        .collect();
    let illegal = |at: usize| {
        Ok(Value::from(format!(
            "illegal base32 data at input byte {at}"
        )))
    };
    let mut out = Vec::new();
    for group in kept.chunks(8) {
        let mut bits = 0_u64;
        let mut used = 0;
        for (at, c) in group {
            match BASE32.iter().position(|a| a == c) {
                Some(value) if used < 8 => {
                    bits |= (value as u64) << (35 - 5 * used);
                    used += 1;
                }
                _ if *c == b'=' && used >= 2 => break,
                _ => return illegal(*at),
            }
        }
        let padding = group.iter().skip(used).all(|(_, c)| *c == b'=');
        if group.len() < 8 {
            return illegal(text.len());
        }
        if !padding || matches!(used, 1 | 3 | 6) {
            let at = group.get(used).map_or(text.len(), |(at, _)| *at);
            return illegal(at);
        }
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(bytes.get(3..3 + used * 5 / 8).unwrap_or(&[]));
    }
    Ok(Value::from(out))
}
