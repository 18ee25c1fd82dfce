//! The embedded templates.

macro_rules! templates {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../templates/", $name, ".yaml.hbs")))),*]
    };
}

/// Name and text of each template: the files of `templates/`, without `.yaml.hbs`.
pub const TEMPLATES: &[(&str, &str)] = templates![
    "dapr/configuration",
    "dapr/pubsub-kafka",
    "dapr/resiliency",
    "dapr/secret-reader",
    "dapr/secretstore-kubernetes",
    "dapr/state-postgresql",
    "dapr/subscription",
    "kafka/cluster",
    "kafka/topic",
    "kafka/user",
    "namespace",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files(folder: &Path, prefix: &str, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                files(&path, &format!("{prefix}{name}/"), out);
            } else if let Some(name) = name.strip_suffix(".yaml.hbs") {
                // Charts have tables of their own.
                out.push(format!("{prefix}{name}"));
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
