//! The profiles that come with todoctl.

/// Name and text of each embedded profile: the files of `profiles/`.
pub const PROFILES: &[(&str, &str)] = &[
    ("local", include_str!("../../profiles/local.yaml")),
    ("oke", include_str!("../../profiles/oke.yaml")),
    ("oke-4x24", include_str!("../../profiles/oke-4x24.yaml")),
    ("sandbox", include_str!("../../profiles/sandbox.yaml")),
];

/// The text of the embedded profile of that name.
pub fn text(name: &str) -> Option<&'static str> {
    PROFILES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_folder_agree() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        let table: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(files, table);
    }
}
