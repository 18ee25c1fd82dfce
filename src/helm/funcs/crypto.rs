//! Passwords and secrets: bcrypt, AES, scrypt, random bytes.

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};

use super::{Args, FnError, Function, Param, Returned, encoding, plain};
use crate::helm::engine::Run;
use crate::helm::value::Value;

const S: Param = Param::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    plain("bcrypt", &[S], |run, v| {
        let password = Args::new(v).bytes();
        bcrypt(run, &password).map(Value::from)
    }),
    plain("htpasswd", &[S, S], htpasswd),
    plain("encryptAES", &[S, S], encrypt),
    plain("decryptAES", &[S, S], decrypt),
    plain(
        "derivePassword",
        &[Param::Uint32, S, S, S, S],
        derive_password,
    ),
    plain("randBytes", &[Param::Int], rand_bytes),
    plain("uuidv4", &[], uuid),
];

/// What a slow function counts for.
pub(super) const SLOW: usize = 500_000;

const BCRYPT_COST: u32 = 10;
const BCRYPT_LONGEST: usize = 72;

fn bcrypt(run: &mut Run<'_>, password: &[u8]) -> Result<String, FnError> {
    run.work(SLOW)?;
    if password.len() > BCRYPT_LONGEST {
        return Ok(
            "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes"
                .to_owned(),
        );
    }
    let mut salt = [0; 16];
    run.random(&mut salt);
    Ok(match bcrypt::hash_with_salt(password, BCRYPT_COST, salt) {
        Ok(hash) => hash.format_for_version(bcrypt::Version::TwoA),
        Err(error) => format!("failed to encrypt string with bcrypt: {error}"),
    })
}

fn htpasswd(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (user, password) = (args.text(), args.bytes());
    if user.contains(':') {
        return Ok(Value::from(format!("invalid username: {user}")));
    }
    let hash = bcrypt(run, &password)?;
    Ok(Value::from(format!("{user}:{hash}")))
}

/// The password, filled with zeros or cut to the key's length.
fn aes_key(password: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    for (slot, byte) in key.iter_mut().zip(password) {
        *slot = *byte;
    }
    key
}

const BLOCK: usize = 16;

fn encrypt(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (password, text) = (args.bytes(), args.bytes());
    if text.is_empty() {
        return Ok(Value::str(""));
    }
    run.afford(text.len().saturating_mul(2))?;
    let mut iv = [0; BLOCK];
    run.random(&mut iv);
    let padding = BLOCK - text.len() % BLOCK;
    let mut data = text.to_vec();
    data.resize(text.len() + padding, u8::try_from(padding).unwrap_or(0));
    let len = data.len();
    let failed = |_| FnError::text("cannot encrypt");
    cbc::Encryptor::<Aes256>::new(&aes_key(&password).into(), &iv.into())
        .encrypt_padded::<NoPadding>(&mut data, len)
        .map_err(failed)?;
    Ok(Value::from(STANDARD.encode([&iv[..], &data].concat())))
}

fn decrypt(_: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let (password, text) = (args.bytes(), args.bytes());
    if text.is_empty() {
        return Ok(Value::str(""));
    }
    let packed = encoding::decode_base64(&text)
        .map_err(|at| FnError::text(format!("illegal base64 data at input byte {at}")))?;
    let Some((iv, data)) = packed.split_first_chunk::<BLOCK>() else {
        return Err(FnError::text(format!(
            "runtime error: slice bounds out of range [:{BLOCK}] with capacity {}",
            packed.len()
        )));
    };
    let mut data = data.to_vec();
    let plain = cbc::Decryptor::<Aes256>::new(&aes_key(&password).into(), iv.into())
        .decrypt_padded::<NoPadding>(&mut data)
        .map_err(|_| FnError::text("crypto/cipher: input not full blocks"))?;
    let padding = plain.last().map_or(0, |n| usize::from(*n));
    match plain.len().checked_sub(padding) {
        Some(len) if !plain.is_empty() => Ok(Value::str(plain.get(..len).unwrap_or(&[]))),
        _ => Err(FnError::text("runtime error: slice bounds out of range")),
    }
}

/// Templates of the Master Password algorithm, by type.
fn password_templates(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        _ => return None,
    })
}

fn password_characters(class: u8) -> &'static [u8] {
    match class {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

const PASSWORD_SCOPE: &[u8] = b"com.lyndir.masterpassword";

fn with_length(text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [PASSWORD_SCOPE, &len.to_be_bytes(), text].concat()
}

fn derive_password(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let mut args = Args::new(values);
    let counter = u32::try_from(args.int()).unwrap_or(0);
    let kind = args.text();
    let (password, user, site) = (args.bytes(), args.bytes(), args.bytes());
    let Some(templates) = password_templates(&kind) else {
        return Ok(Value::from(format!("cannot find password template {kind}")));
    };
    run.work(SLOW)?;
    let failed = || Ok(Value::str("failed to derive password"));
    let Ok(params) = scrypt::Params::new(15, 8, 2) else {
        return failed();
    };
    let mut key = [0; 64];
    if scrypt::scrypt(&password, &with_length(&user), &params, &mut key).is_err() {
        return failed();
    }
    let mut message = with_length(&site);
    message.extend_from_slice(&counter.to_be_bytes());
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let seed = ring::hmac::sign(&key, &message);
    let mut seed = seed.as_ref().iter().map(|b| usize::from(*b));
    let chosen = seed.next().unwrap_or(0) % templates.len();
    let template = templates.get(chosen).copied().unwrap_or("");
    let text: Vec<u8> = template
        .bytes()
        .zip(seed)
        .filter_map(|(class, n)| {
            let characters = password_characters(class);
            characters.get(n % characters.len()).copied()
        })
        .collect();
    Ok(Value::from(text))
}

fn rand_bytes(run: &mut Run<'_>, values: Vec<Value>) -> Returned {
    let n = Args::new(values).int();
    let Ok(n) = usize::try_from(n) else {
        return Err(FnError::text("runtime error: makeslice: len out of range"));
    };
    run.afford(n.saturating_mul(2))?;
    run.work(n / 16)?;
    let mut bytes = vec![0; n];
    run.random(&mut bytes);
    Ok(Value::from(STANDARD.encode(bytes)))
}

fn uuid(run: &mut Run<'_>, _: Vec<Value>) -> Returned {
    let mut bytes = [0_u8; 16];
    run.random(&mut bytes);
    let n = u128::from_be_bytes(bytes);
    // Version 4, variant 1.
    let n = n & !(0xf << 76) | 4 << 76;
    let n = n & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{n:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or("").to_owned();
    Ok(Value::from(
        [
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32),
        ]
        .join("-"),
    ))
}
