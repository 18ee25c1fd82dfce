//! As much DER as keys and certificate names need.

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const PRINTABLE: u8 = 0x13;
pub(super) const IA5: u8 = 0x16;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;

/// Reads one element after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next element: its tag and contents.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut len = usize::from(*first);
        if len >= 0x80 {
            let (bytes, after) = rest.split_at_checked(len & 0x7f)?;
            if bytes.len() > 4 {
                return None;
            }
            len = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            rest = after;
        }
        let (contents, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((*tag, contents))
    }

    /// The next element with its header.
    fn next_whole(&mut self) -> Option<&'a [u8]> {
        let before = self.0;
        self.next()?;
        before.get(..before.len() - self.0.len())
    }

    /// Steps into the next element, which must have that tag.
    pub(super) fn enter(mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self)
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, c)| c)
    }
}

fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let len = contents.len();
    if len < 0x80 {
        out.push(u8::try_from(len).unwrap_or(0));
    } else {
        let bytes: Vec<u8> = len
            .to_be_bytes()
            .into_iter()
            .skip_while(|b| *b == 0)
            .collect();
        out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0));
        out.extend(bytes);
    }
    out.extend_from_slice(contents);
    out
}

const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];

fn pkcs8(version: u8, algorithm: &[u8], key: &[u8], more: &[u8]) -> Vec<u8> {
    let body = [
        element(INTEGER, &[version]),
        element(SEQUENCE, algorithm),
        element(OCTET_STRING, key),
        more.to_vec(),
    ]
    .concat();
    element(SEQUENCE, &body)
}

/// Wraps a PKCS #1 key.
pub(super) fn pkcs8_rsa(pkcs1: &[u8]) -> Vec<u8> {
    let algorithm = [element(OID, OID_RSA), element(0x05, &[])].concat();
    pkcs8(0, &algorithm, pkcs1, &[])
}

/// Wraps an Ed25519 seed as Go does.
pub(super) fn pkcs8_ed25519(seed: &[u8]) -> Vec<u8> {
    pkcs8(
        0,
        &element(OID, OID_ED25519),
        &element(OCTET_STRING, seed),
        &[],
    )
}

/// Adds the public key to an Ed25519 key without one, which ring asks for.
pub(super) fn ed25519_for_ring(key: &[u8]) -> Option<Vec<u8>> {
    let mut body = Reader::new(key).enter(SEQUENCE)?;
    let version = body.expect(INTEGER)?;
    let algorithm = body.expect(SEQUENCE)?;
    let inner = body.expect(OCTET_STRING)?;
    if version != [0] || Reader::new(algorithm).expect(OID)? != OID_ED25519 {
        return None;
    }
    let seed = Reader::new(inner).expect(OCTET_STRING)?;
    let public = super::certs::ed25519_public(seed)?;
    let public = element(0x81, &[&[0][..], &public].concat());
    Some(pkcs8(1, algorithm, inner, &public))
}

/// The private and public part of a SEC 1 key on P-256.
fn sec1_parts(sec1: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut body = Reader::new(sec1).enter(SEQUENCE)?;
    body.expect(INTEGER)?;
    let private = body.expect(OCTET_STRING)?;
    while let Some((tag, contents)) = body.next() {
        if tag == 0xa1 {
            return Some((private, Reader::new(contents).expect(BIT_STRING)?));
        }
        if tag == 0xa0 && Reader::new(contents).expect(OID)? != OID_P256 {
            return None;
        }
    }
    None
}

fn sec1(private: &[u8], parameters: &[u8], public: &[u8]) -> Vec<u8> {
    let body = [
        element(INTEGER, &[1]),
        element(OCTET_STRING, private),
        parameters.to_vec(),
        element(0xa1, &element(BIT_STRING, public)),
    ]
    .concat();
    element(SEQUENCE, &body)
}

/// Unwraps a P-256 key and adds its curve, as Go writes it.
pub(super) fn sec1_of_pkcs8(key: &[u8]) -> Option<Vec<u8>> {
    let mut body = Reader::new(key).enter(SEQUENCE)?;
    body.expect(INTEGER)?;
    body.expect(SEQUENCE)?;
    let (private, public) = sec1_parts(body.expect(OCTET_STRING)?)?;
    let curve = element(0xa0, &element(OID, OID_P256));
    Some(sec1(private, &curve, public))
}

/// Wraps a SEC 1 key on P-256 as ring reads it: without the curve inside.
pub(super) fn pkcs8_of_sec1(key: &[u8]) -> Option<Vec<u8>> {
    let (private, public) = sec1_parts(key)?;
    let algorithm = [element(OID, OID_EC), element(OID, OID_P256)].concat();
    Some(pkcs8(0, &algorithm, &sec1(private, &[], public), &[]))
}

/// The subject of a certificate, header included.
pub(super) fn subject(certificate: &[u8]) -> Option<&[u8]> {
    let mut body = Reader::new(certificate).enter(SEQUENCE)?.enter(SEQUENCE)?;
    let mut ahead = body;
    if ahead.next()?.0 == 0xa0 {
        body = ahead;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        body.next()?;
    }
    body.next_whole()
}

/// The subject key identifier of a certificate, if it has one.
pub(super) fn subject_key_id(certificate: &[u8]) -> Option<&[u8]> {
    let mut body = Reader::new(certificate).enter(SEQUENCE)?.enter(SEQUENCE)?;
    let extensions = loop {
        let (tag, contents) = body.next()?;
        if tag == 0xa3 {
            break contents;
        }
    };
    let mut extensions = Reader::new(extensions).enter(SEQUENCE)?;
    loop {
        let mut extension = Reader(extensions.expect(SEQUENCE)?);
        if extension.expect(OID)? == OID_SUBJECT_KEY_ID {
            let value = extension.expect(OCTET_STRING)?;
            return Reader::new(value).expect(OCTET_STRING);
        }
    }
}

/// The numbers of an object identifier.
pub(super) fn oid(contents: &[u8]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    let mut current = 0_u64;
    for byte in contents {
        current = current
            .checked_mul(128)?
            .checked_add(u64::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            numbers.push(std::mem::take(&mut current));
        }
    }
    let first = *numbers.first()?;
    let root = (first / 40).min(2);
    let mut out = vec![root, first - root * 40];
    out.extend(numbers.into_iter().skip(1));
    Some(out)
}
