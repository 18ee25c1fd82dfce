//! Explanations over a small chart.

use super::super::chart::ChartFile;
use super::super::values::Layers;
use super::*;

const TEMPLATE: &str = "{{- if .Values.enabled }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include \"c.name\" . }}
  labels:
    fixed: \"yes\"
spec:
  replicas: {{ .Values.replicas }}
  template:
    spec:
      containers:
        - name: app
          image: \"{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}\"
          resources:
            {{- toYaml .Values.resources | nindent 12 }}
          args:
            {{- range .Values.args }}
            - {{ . }}
            {{- end }}
{{- end }}
";

const VALUES: &str = "enabled: true
replicas: 1
image:
  repository: example/app
  tag: \"\"
resources:
  limits:
    cpu: 100m
args:
  - one
  - two
unused: 3
";

fn chart() -> Chart {
    let files = [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: c\nversion: 1.0.0\nappVersion: \"7.1\"\n",
        ),
        ("values.yaml", VALUES),
        ("templates/d.yaml", TEMPLATE),
        (
            "templates/_h.tpl",
            "{{ define \"c.name\" }}{{ .Release.Name }}-c{{ end }}",
        ),
    ];
    let files = files.map(|(name, text)| ChartFile {
        name: name.to_owned(),
        data: text.as_bytes().into(),
    });
    Chart::from_files(files.into()).unwrap()
}

fn answer(options: &RenderOptions) -> Answer {
    let question = Question {
        kind: "deployment".to_owned(),
        name: "release-name-c".to_owned(),
        field: None,
    };
    explain(chart(), options, &question).unwrap()
}

fn field<'a>(answer: &'a Answer, name: &str) -> &'a Explanation {
    answer.fields.iter().find(|f| f.field == name).unwrap()
}

fn names(field: &Explanation) -> Vec<&str> {
    field.depends_on.iter().map(|d| d.name.as_str()).collect()
}

fn default_at(line: usize) -> Setter {
    Setter::Default(Place {
        file: "c/values.yaml".to_owned(),
        line,
    })
}

#[test]
fn every_leaf_has_its_template_line_and_its_values() {
    let answer = answer(&RenderOptions::default());
    let line = |name: &str| field(&answer, name).template.as_ref().unwrap().line;
    assert_eq!(line("kind"), 3);
    assert_eq!(line("metadata.name"), 5);
    assert_eq!(line("metadata.labels.fixed"), 7);
    assert_eq!(line("spec.replicas"), 9);
    let container = "spec.template.spec.containers[0]";
    assert_eq!(line(&format!("{container}.name")), 13);
    assert_eq!(line(&format!("{container}.image")), 14);
    assert_eq!(line(&format!("{container}.resources.limits.cpu")), 16);

    let replicas = field(&answer, "spec.replicas");
    assert_eq!(names(replicas), [".Values.replicas"]);
    assert_eq!(replicas.depends_on[0].setter, Some(default_at(2)));
    assert!(replicas.depends_on[0].shown);
    assert_eq!(names(field(&answer, "metadata.name")), [".Release.Name"]);
    assert!(names(field(&answer, "metadata.labels.fixed")).is_empty());
    let image = field(&answer, &format!("{container}.image"));
    assert_eq!(
        names(image),
        [
            ".Values.image.repository",
            ".Chart.AppVersion",
            ".Values.image.tag"
        ]
    );
    let cpu = field(&answer, &format!("{container}.resources.limits.cpu"));
    assert_eq!(cpu.depends_on[0].setter, Some(default_at(8)));
    let second = field(&answer, &format!("{container}.args[1]"));
    assert_eq!(names(second), [".Values.args[1]"]);
    assert_eq!(second.depends_on[0].setter, Some(default_at(11)));
    let conditions: Vec<&str> = answer.conditions.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(conditions, [".Values.enabled"]);
}

#[test]
fn files_and_arguments_are_named_as_setters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.yaml");
    let text = b"# mine\nreplicas: 2\n---\nimage:\n  tag: v1\n";
    crate::files::write_atomic(&path, text, crate::files::Access::Shared).unwrap();
    let options = RenderOptions {
        values: Layers {
            files: vec![path.clone()],
            set: vec!["image.repository=a/b,replicas=5".to_owned()],
            ..Layers::default()
        },
        ..RenderOptions::default()
    };
    let answer = answer(&options);
    let replicas = field(&answer, "spec.replicas");
    assert_eq!(replicas.value, "5");
    assert_eq!(
        replicas.depends_on[0].setter,
        Some(Setter::Argument {
            option: "--set",
            text: "image.repository=a/b,replicas=5".to_owned()
        })
    );
    let image = field(&answer, "spec.template.spec.containers[0].image");
    let tag = image.depends_on.iter().find(|d| d.name.ends_with("tag"));
    assert_eq!(tag.unwrap().setter, Some(Setter::File { path, line: 5 }));
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let ask = |kind: &str, name: &str, field: Option<&str>| {
        let question = Question {
            kind: kind.to_owned(),
            name: name.to_owned(),
            field: field.map(str::to_owned),
        };
        let result = explain(chart(), &RenderOptions::default(), &question);
        result.map_err(|error| error.to_string())
    };
    let error = ask("Deployment", "x", None).unwrap_err();
    assert!(
        error.ends_with("it renders Deployment/release-name-c"),
        "{error}"
    );
    let error = ask("Service", "x", None).unwrap_err();
    assert!(error.ends_with("it renders Deployment"), "{error}");
    let error = ask("Deployment", "release-name-c", Some("spec.nope")).unwrap_err();
    assert_eq!(error, "the object has no field \"spec.nope\"");
    let one = ask("Deployment", "release-name-c", Some("spec.replicas")).unwrap();
    assert_eq!(one.fields.len(), 1);
}
