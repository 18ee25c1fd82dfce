//! Chart folders: every file that `.helmignore` leaves, in a fixed order.
//!
//! Symbolic links are followed, as helm does, but not into a folder that is
//! being read already.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{Budget, without_bom};
use super::ignore::Rules;
use super::{ChartError, ChartFile};

/// Deeper folders than that are a loop or an attack.
const MAX_DEPTH: usize = 64;

/// Reads the files of a chart folder.
pub(super) fn read(root: &Path, budget: &mut Budget) -> Result<Vec<ChartFile>, ChartError> {
    let ignore = root.join(".helmignore");
    let rules = match fs::read(&ignore) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => String::new(),
    };
    let rules = Rules::parse(&rules).map_err(|source| ChartError::Ignore {
        path: ignore,
        source,
    })?;
    let mut walk = Walk {
        rules,
        budget,
        files: Vec::new(),
        open: Vec::new(),
    };
    walk.folder(root, "")?;
    Ok(walk.files)
}

struct Walk<'a> {
    rules: Rules,
    budget: &'a mut Budget,
    files: Vec<ChartFile>,
    /// The folders being read, resolved, outermost first.
    open: Vec<PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, name: &str) -> Result<(), ChartError> {
        let failed = |source| ChartError::Read {
            path: path.to_owned(),
            source,
        };
        let real = fs::canonicalize(path).map_err(failed)?;
        if self.open.contains(&real) || self.open.len() == MAX_DEPTH {
            return Err(ChartError::Loop(path.to_owned()));
        }
        self.open.push(real);
        let mut entries = fs::read_dir(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let file_name = entry.file_name();
            let child = match name {
                "" => file_name.to_string_lossy().into_owned(),
                _ => format!("{name}/{}", file_name.to_string_lossy()),
            };
            self.entry(&entry.path(), child)?;
        }
        self.open.pop();
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: String) -> Result<(), ChartError> {
        let failed = |source| ChartError::Read {
            path: path.to_owned(),
            source,
        };
        let meta = fs::metadata(path).map_err(failed)?;
        if self.rules.ignores(&name, meta.is_dir()) {
            return Ok(());
        }
        if meta.is_dir() {
            return self.folder(path, &name);
        }
        if !meta.is_file() {
            return Err(ChartError::Irregular(path.to_owned()));
        }
        self.budget.take(&name, meta.len())?;
        let data = fs::read(path).map_err(failed)?;
        self.files.push(ChartFile {
            name,
            data: without_bom(&data),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            crate::files::write_atomic(
                &dir.path().join(name),
                text.as_bytes(),
                crate::files::Access::Shared,
            )
            .unwrap();
        }
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let files = read(dir, &mut Budget::default()).unwrap();
        files.into_iter().map(|f| f.name).collect()
    }

    #[test]
    fn ignored_files_and_folders_are_left_out() {
        let dir = tree(&[
            (".helmignore", "*.bak\nci/\n"),
            ("Chart.yaml", ""),
            ("a.bak", ""),
            ("ci/x.yaml", ""),
            ("templates/.hidden", ""),
            ("templates/x.yaml", ""),
        ]);
        assert_eq!(
            names(dir.path()),
            [".helmignore", "Chart.yaml", "templates/x.yaml"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_circles() {
        use std::os::unix::fs::symlink;
        let dir = tree(&[("Chart.yaml", ""), ("real/a.txt", "")]);
        symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
        assert_eq!(
            names(dir.path()),
            ["Chart.yaml", "link/a.txt", "real/a.txt"]
        );
        symlink(dir.path(), dir.path().join("real/up")).unwrap();
        let result = read(dir.path(), &mut Budget::default());
        assert!(matches!(result, Err(ChartError::Loop(_))));
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let dir = tree(&[]);
        let file = fs::File::create(dir.path().join("big")).unwrap();
        file.set_len(6 * 1024 * 1024).unwrap();
        let error = read(dir.path(), &mut Budget::default()).unwrap_err();
        assert!(error.to_string().contains("maximum file size"), "{error}");
    }
}
