use proptest::prelude::*;

use super::*;

fn small() -> Options {
    Options {
        limits: Limits {
            output: 1 << 20,
            memory: 8 << 20,
            steps: 200_000,
            stack: 64 << 20,
        },
        ..Options::default()
    }
}

fn sources(texts: &[(&str, &str)]) -> Vec<TemplateSource> {
    let context = Map::typed(MapType::Values, BTreeMap::new());
    context.set("Values", Map::new());
    texts
        .iter()
        .map(|(name, text)| TemplateSource {
            name: format!("c/templates/{name}"),
            text: (*text).into(),
            context: context.clone(),
            base_path: "c/templates".to_owned(),
        })
        .collect()
}

fn render_one(text: &str, options: Options) -> Result<String, String> {
    Engine::new(options)
        .render(&sources(&[("x.yaml", text)]))
        .map(|files| files.into_values().next().unwrap_or_default())
        .map_err(|error| error.to_string())
}

#[test]
fn hostile_templates_end_in_an_error() {
    let deep_parens = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    let deep_ifs = "{{ if true }}".repeat(5000);
    let long_else = "{{ if false }}".to_owned() + &"{{ else if false }}".repeat(5000) + "{{ end }}";
    let cases = [
        "{{ range 9000000000000000000 }}x{{ end }}",
        "{{ range until 100000000000 }}{{ end }}",
        "{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}",
        "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}",
        "{{ define \"a\" }}{{ include \"b\" . }}{{ end }}{{ define \"b\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}",
        "{{ $t := \"{{ tpl . . }}\" }}{{ tpl $t $t }}",
        "{{ repeat 9223372036854775807 \"x\" }}",
        "{{ indent 2000000000 \"x\" }}",
        "{{ nindent 100000 (repeat 100000 \"\\n\") }}",
        "{{ $x := \"x\" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}{{ $x }}",
        "{{ $x := \"x\" }}{{ range 64 }}{{ $x = replace \"x\" \"xx\" $x }}{{ end }}",
        "{{ $x := list 1 }}{{ range 64 }}{{ $x = concat $x $x }}{{ end }}",
        "{{ range 200 }}{{ printf \"%1000000d\" 1 }}{{ end }}",
        "{{ randAlphaNum 9000000000 }}",
        "{{ seq 9000000000 }}",
        "{{ untilStep 0 9000000000 1 }}",
        "{{ wrapWith 1 (repeat 100000 \"a\") (repeat 100000 \"b\") }}",
        "{{ $x := dict }}{{ $_ := set $x \"x\" $x }}{{ mustToJson $x }}",
        "{{ mustRegexMatch \"((((a{1000}){1000}){1000}){1000})\" \"a\" }}",
        "{{ range 1000 }}{{ bcrypt \"x\" }}{{ end }}",
        "{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}",
        "{{ $x := \"a\" }}{{ range 100000 }}{{ $x = cat $x (repeat 1000 \"a\") }}{{ end }}",
        &deep_parens,
        &deep_ifs,
        &long_else,
    ];
    for text in cases {
        let shown: String = text.chars().take(60).collect();
        let options = Options {
            limits: Limits {
                // bcrypt costs steps, not time, in this test.
                steps: if text.contains("bcrypt") {
                    100_000
                } else {
                    200_000
                },
                ..small().limits
            },
            random: Some(Box::new(|buffer| buffer.fill(7))),
            ..small()
        };
        let result = render_one(text, options);
        assert!(result.is_err(), "{shown}: {result:?}");
    }
}

#[test]
fn a_deep_value_prints_and_is_dropped() {
    let text = "{{ $x := list }}{{ range 50000 }}{{ $x = list $x }}{{ end }}{{ len $x }}";
    assert_eq!(render_one(text, small()), Ok("1".to_owned()));
    let text = "{{ $x := dict }}{{ $_ := set $x \"x\" $x }}{{ len (toYaml $x) }}";
    assert_eq!(render_one(text, small()), Ok("0".to_owned()));
}

#[test]
fn files_run_deepest_first_and_share_their_context() {
    let files = Engine::new(Options::default())
        .render(&sources(&[
            ("a.yaml", "{{ .Values.mark }}"),
            ("z.yaml", "{{ $_ := set .Values \"mark\" \"from z\" }}"),
            ("_p.tpl", "{{ define \"p\" }}x{{ end }}"),
        ]))
        .unwrap();
    assert_eq!(files["c/templates/a.yaml"], "from z");
    assert!(!files.contains_key("c/templates/_p.tpl"));
}

#[test]
fn an_earlier_name_wins_between_equal_defines() {
    let files = Engine::new(Options::default())
        .render(&sources(&[
            ("_a.tpl", "{{ define \"p\" }}a{{ end }}"),
            ("_b.tpl", "{{ define \"p\" }}b{{ end }}"),
            ("x.yaml", "{{ include \"p\" . }}"),
        ]))
        .unwrap();
    assert_eq!(files["c/templates/x.yaml"], "a");
}

#[test]
fn the_source_map_names_the_line_of_every_part() {
    let options = Options {
        source_map: true,
        ..Options::default()
    };
    let text = "a: 1\nb: {{ .Values.none }}{{ 2 }}\nc: {{ \"x\" }}\n";
    let rendered = Engine::new(options)
        .render_mapped(&sources(&[("x.yaml", text)]))
        .unwrap();
    assert_eq!(rendered.files["c/templates/x.yaml"], "a: 1\nb: 2\nc: x\n");
    let marks: Vec<(usize, usize)> = rendered.sources["c/templates/x.yaml"]
        .iter()
        .map(|mark| (mark.offset, mark.line))
        .collect();
    assert_eq!(marks, [(0, 1), (8, 2), (8, 2), (9, 2), (13, 3), (14, 3)]);
}

#[test]
fn strict_engines_refuse_missing_keys() {
    let options = Options {
        strict: true,
        ..Options::default()
    };
    let error = render_one("{{ .Values.none }}", options).unwrap_err();
    assert!(
        error.contains("map has no entry for key \"none\""),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_rendered_or_refused(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "{{", "}}", "{{- ", " -}}", "if ", "else", "end", "range ", "with ", "define ",
                "template ", "include ", "\"a\"", "\"b\" ", ".", "$", "$x ", ":= ", "= ", "(", ")",
                "|", " ", "1 ", "2.5 ", "nil ", "true ", "list ", "dict ", "printf ", "index ",
                "tpl ", "toYaml ", "set ", "/*", "*/", "\n", "x", ".Values", "break", "continue",
                "len ", "repeat ", "`", "'", "-", ",", "é", "until ", "first ", "merge ",
            ]),
            0..40,
        )
    ) {
        let _ = render_one(&parts.concat(), small());
    }

    #[test]
    fn any_call_returns_or_fails(
        name in prop::sample::select(crate::helm::funcs::names()),
        args in prop::collection::vec(
            prop::sample::select(vec![
                "nil", "1", "-1", "0", "\"\"", "\"a,b\"", "(list 1 \"a\" nil)", "(dict \"a\" 1)",
                "1.5", "true", "(list)", "(dict)", "\"%s\"", "(int64 7)", "\"1.2.3\"", "now",
                "\"[a-z]+\"", "(until 3)", "\"\\xff\"", "99999999999",
            ]),
            0..5,
        )
    ) {
        let slow = name.starts_with("gen") || ["bcrypt", "htpasswd", "derivePassword"].contains(&name);
        prop_assume!(!slow);
        let _ = render_one(&format!("{{{{ {name} {} }}}}", args.join(" ")), small());
    }
}
