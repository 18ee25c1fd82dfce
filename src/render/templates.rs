//! The embedded templates.

/// Name and text of each template: the files of `templates/`, without `.yaml.hbs`.
pub const TEMPLATES: &[(&str, &str)] = &[
    (
        "dapr/component-crd",
        include_str!("../../templates/dapr/component-crd.yaml.hbs"),
    ),
    (
        "dapr/pubsub-kafka",
        include_str!("../../templates/dapr/pubsub-kafka.yaml.hbs"),
    ),
    (
        "dapr/secret-reader",
        include_str!("../../templates/dapr/secret-reader.yaml.hbs"),
    ),
    (
        "dapr/secretstore-kubernetes",
        include_str!("../../templates/dapr/secretstore-kubernetes.yaml.hbs"),
    ),
    (
        "dapr/state-postgresql",
        include_str!("../../templates/dapr/state-postgresql.yaml.hbs"),
    ),
    (
        "namespace",
        include_str!("../../templates/namespace.yaml.hbs"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files(folder: &Path, prefix: &str, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // The app's chart has a table of its own.
            if path.is_dir() && name == "todo-app" {
                continue;
            }
            if path.is_dir() {
                files(&path, &format!("{prefix}{name}/"), out);
            } else {
                out.push(format!("{prefix}{}", name.trim_end_matches(".yaml.hbs")));
            }
        }
    }

    #[test]
    fn the_table_and_the_folder_agree() {
        let mut found = Vec::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        files(&folder, "", &mut found);
        found.sort();
        let table: Vec<&str> = TEMPLATES.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, table);
    }
}
