//! Packed charts: a gzipped tar whose entries lie under one folder.
//!
//! An archive comes from anywhere, so everything about it is bounded: the
//! unpacked size of all files together (also over nested archives), the size
//! of one file, and the paths, which may not leave the chart.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::ChartFile;
use crate::helm::value::Str;

/// The most that a chart may unpack to, nested archives included.
pub const MAX_CHART_BYTES: u64 = 100 * 1024 * 1024;

/// The most that one file of a chart may hold.
pub const MAX_FILE_BYTES: u64 = 5 * 1024 * 1024;

/// Room for tar's own headers beyond the files: more than that is an attack.
const TAR_OVERHEAD: u64 = 16 * 1024 * 1024;

/// The most files that a chart may have.
const MAX_FILES: usize = 50_000;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not gzip, not tar, or cut short.
    #[error("not a readable gzipped tar archive")]
    Unreadable(#[source] std::io::Error),
    /// It has no files.
    #[error("no files in chart archive")]
    Empty,
    /// All files together are too large.
    #[error("decompressed chart is larger than the maximum size {MAX_CHART_BYTES}")]
    TooLarge,
    /// One file is too large.
    #[error("decompressed chart file {0:?} is larger than the maximum file size {MAX_FILE_BYTES}")]
    FileTooLarge(String),
    /// There are too many files.
    #[error("chart archive has more than {MAX_FILES} files")]
    TooManyFiles,
    /// A path is absolute.
    #[error("chart illegally contains absolute paths: {0:?}")]
    Absolute(String),
    /// A path climbs out of the chart.
    #[error("chart illegally references parent directory: {0:?}")]
    Parent(String),
    /// A path is not below the chart's folder.
    #[error("chart illegally contains content outside the base directory: {0:?}")]
    OutsideBase(String),
    /// A path begins with a drive letter.
    #[error("chart contains illegally named files: {0:?}")]
    Drive(String),
    /// `Chart.yaml` lies at the archive's root instead of in a folder.
    #[error("chart yaml not in base directory")]
    NotInFolder,
}

/// What may still be unpacked while one chart is loaded.
#[derive(Debug)]
pub struct Budget {
    left: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: MAX_CHART_BYTES,
        }
    }
}

impl Budget {
    /// Takes the size of one file.
    pub fn take(&mut self, name: &str, bytes: u64) -> Result<(), ArchiveError> {
        if bytes > MAX_FILE_BYTES {
            return Err(ArchiveError::FileTooLarge(name.to_owned()));
        }
        self.left = self.left.checked_sub(bytes).ok_or(ArchiveError::TooLarge)?;
        Ok(())
    }
}

/// Reads the files of an archive, their paths relative to the chart.
pub fn unpack(packed: &[u8], budget: &mut Budget) -> Result<Vec<ChartFile>, ArchiveError> {
    let limit = budget.left.saturating_add(TAR_OVERHEAD);
    let mut tar = tar::Archive::new(MultiGzDecoder::new(packed).take(limit));
    let mut files = Vec::new();
    for entry in tar.entries().map_err(ArchiveError::Unreadable)? {
        let mut entry = entry.map_err(ArchiveError::Unreadable)?;
        let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir()
            || raw.ends_with('/')
            || kind.is_pax_global_extensions()
            || kind.is_pax_local_extensions()
        {
            continue;
        }
        let name = inner_path(&raw)?;
        if files.len() == MAX_FILES {
            return Err(ArchiveError::TooManyFiles);
        }
        let size = entry.size();
        budget.take(&raw, size)?;
        let mut data = Vec::new();
        entry
            .by_ref()
            .take(MAX_FILE_BYTES)
            .read_to_end(&mut data)
            .map_err(ArchiveError::Unreadable)?;
        if (data.len() as u64) < size {
            return Err(ArchiveError::Unreadable(
                std::io::ErrorKind::UnexpectedEof.into(),
            ));
        }
        files.push(ChartFile {
            name,
            data: without_bom(&data),
        });
    }
    if files.is_empty() {
        return Err(ArchiveError::Empty);
    }
    Ok(files)
}

/// The file's content without a leading byte order mark.
pub fn without_bom(data: &[u8]) -> Str {
    data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data).into()
}

/// Drops the first folder of an entry's path and proves that the rest stays
/// inside the chart.
fn inner_path(raw: &str) -> Result<String, ArchiveError> {
    let delimiter = if raw.contains('\\') { '\\' } else { '/' };
    let (first, rest) = raw.split_once(delimiter).unwrap_or((raw, ""));
    let path = rest.replace(delimiter, "/");
    if path.starts_with('/') {
        return Err(ArchiveError::Absolute(raw.to_owned()));
    }
    let path = clean(&path);
    if path.is_empty() {
        return Err(if first == "Chart.yaml" {
            ArchiveError::NotInFolder
        } else {
            ArchiveError::OutsideBase(raw.to_owned())
        });
    }
    if path.starts_with("..") {
        return Err(ArchiveError::Parent(raw.to_owned()));
    }
    let mut start = path.bytes();
    if start.next().is_some_and(|c| c.is_ascii_alphabetic())
        && start.next() == Some(b':')
        && start.next() == Some(b'/')
    {
        return Err(ArchiveError::Drive(raw.to_owned()));
    }
    if first == "Chart.yaml" {
        return Err(ArchiveError::NotInFolder);
    }
    Ok(path)
}

/// Removes `.` and resolves `..` where a parent is at hand.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write as _;

    /// Packs files as given, with no check of their names.
    pub(crate) fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut raw = Vec::new();
        for (name, data) in files {
            let mut header = tar::Header::new_ustar();
            let field = &mut header.as_old_mut().name;
            field[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            raw.extend_from_slice(header.as_bytes());
            raw.extend_from_slice(data);
            raw.resize(raw.len().next_multiple_of(512), 0);
        }
        raw.resize(raw.len() + 1024, 0);
        gzip(&raw)
    }

    fn gzip(raw: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(raw).unwrap();
        out.finish().unwrap()
    }

    fn names(packed: &[u8]) -> Result<Vec<String>, String> {
        unpack(packed, &mut Budget::default())
            .map(|files| files.into_iter().map(|f| f.name).collect())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn paths_lose_their_first_folder_in_both_styles() {
        let packed = pack(&[("c/Chart.yaml", b"a"), ("c\\templates\\x.yaml", b"b")]);
        assert_eq!(names(&packed).unwrap(), ["Chart.yaml", "templates/x.yaml"]);
    }

    #[test]
    fn paths_that_leave_the_chart_are_refused() {
        let cases = [
            ("c/../../x", "references parent directory"),
            ("c//etc/passwd", "absolute paths"),
            ("c/c:/x", "illegally named files"),
            ("c\\d:\\x", "illegally named files"),
            ("x", "outside the base directory"),
            ("c/.", "outside the base directory"),
            ("Chart.yaml", "not in base directory"),
            ("Chart.yaml/x", "not in base directory"),
        ];
        for (name, want) in cases {
            let error = names(&pack(&[(name, b"")])).unwrap_err();
            assert!(error.contains(want), "{name}: {error}");
        }
        assert_eq!(names(&pack(&[("c/a/../b", b"")])).unwrap(), ["b"]);
    }

    #[test]
    fn a_byte_order_mark_is_removed() {
        let packed = pack(&[("c/Chart.yaml", b"\xef\xbb\xbfname: c")]);
        let files = unpack(&packed, &mut Budget::default()).unwrap();
        assert_eq!(&files[0].data[..], b"name: c");
    }

    #[test]
    fn a_file_over_the_limit_is_refused_by_its_header_alone() {
        let mut header = tar::Header::new_ustar();
        header.set_path("c/big").unwrap();
        header.set_size(1 << 40);
        header.set_cksum();
        let error = names(&gzip(header.as_bytes())).unwrap_err();
        assert!(error.contains("maximum file size"), "{error}");
    }

    #[test]
    fn a_gzip_bomb_ends_at_the_limit() {
        // 160 MiB of zeros pack into some hundred kilobytes.
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let chunk = vec![b'x'; 4 * 1024 * 1024];
        for i in 0..40 {
            let mut header = tar::Header::new_ustar();
            header.set_path(format!("c/{i}")).unwrap();
            header.set_size(chunk.len() as u64);
            header.set_cksum();
            out.write_all(header.as_bytes()).unwrap();
            out.write_all(&chunk).unwrap();
        }
        let error = names(&out.finish().unwrap()).unwrap_err();
        assert!(error.contains("larger than the maximum size"), "{error}");
    }

    #[test]
    fn rubbish_is_refused() {
        assert!(names(b"").is_err());
        assert!(names(b"not gzip").is_err());
        assert!(names(&gzip(b"not tar")).is_err());
        assert!(names(&gzip(&[0; 1024])).unwrap_err().contains("no files"));
        let whole = pack(&[("c/Chart.yaml", &[b'x'; 4000])]);
        assert!(names(&whole[..whole.len() - 20]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_archive_never_panics(at in 0_usize..400, byte: u8) {
            let mut packed = pack(&[("c/Chart.yaml", b"name: c"), ("c/values.yaml", b"a: 1")]);
            if let Some(b) = packed.get_mut(at) {
                *b = byte;
            }
            let _ = names(&packed);
        }

        #[test]
        fn a_damaged_tar_never_panics(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..2048)) {
            let _ = names(&gzip(&raw));
        }
    }
}
