use proptest::prelude::*;

use super::*;
use crate::helm::gofmt::sprint_value;

fn read(text: &str) -> String {
    match parse(text.as_bytes()) {
        Ok(value) => String::from_utf8(sprint_value(&value)).unwrap(),
        Err(error) => format!("error: {error}"),
    }
}

fn rewrite(text: &str) -> String {
    String::from_utf8(to_yaml(&parse(text.as_bytes()).unwrap()).unwrap()).unwrap()
}

#[test]
fn documents_read_as_in_go() {
    let cases = [
        ("a: 1\nb:\n- x\n- w: 2\n", "map[a:1 b:[x map[w:2]]]"),
        ("a:\n  - 1\n  - - 2\n    - 3\n", "map[a:[1 [2 3]]]"),
        ("{a: [1, 2, {b: c}], d: }", "map[a:[1 2 map[b:c]] d:<nil>]"),
        ("y: 1\nn: 2\non: 3", "map[false:2 true:3]"),
        (
            "a: |\n  x\n   y\n\nb: >-\n  p\n  q\n\n  r\n",
            "map[a:x\n y\n b:p q\nr]",
        ),
        ("a: 'it''s'\nb: \"x\\ty\\u00e9\"", "map[a:it's b:x\tyé]"),
        (
            "a: &x {k: 1}\nb: *x\nc:\n  <<: *x\n  z: 2",
            "map[a:map[k:1] b:map[k:1] c:map[k:1 z:2]]",
        ),
        ("? a\n: b\n", "map[a:b]"),
        ("a: x # comment\n# more\nb: y#z\n", "map[a:x b:y#z]"),
        ("a: long\n  text\n  here\n", "map[a:long text here]"),
        ("", "<nil>"),
        ("---\na: 1\n---\nb: 2\n", "map[a:1]"),
        (
            "a: !!str 1\nb: !!int \"5\"\nc: !foo bar",
            "map[a:1 b:5 c:bar]",
        ),
        ("1.5: a\n010: b\n~x: c", "map[1.5:a 8:b ~x:c]"),
        ("a: 1\na: 2", "map[a:2]"),
        ("[a, [b, c], ]", "[a [b c]]"),
        ("a:\r\n  b: 1\r\n", "map[a:map[b:1]]"),
        ("key: \"a\n  b\n\n  c\"", "map[key:a b\nc]"),
        ("- a: 1\n  b: 2\n-\n  c\n", "[map[a:1 b:2] c]"),
        ("a: |2\n   x\n", "map[a: x\n]"),
        ("a: |+\n  x\n\nb: 1", "map[a:x\n\n b:1]"),
        ("url: http://a:80/x\n", "map[url:http://a:80/x]"),
        ("{a: b, c}", "map[a:b c:<nil>]"),
        (
            "a: -1\nb: - x",
            "error: yaml: line 2: block sequence entries are not allowed in this context",
        ),
        (
            "a: @x",
            "error: yaml: found character that cannot start any token",
        ),
        (
            "a: b: c",
            "error: yaml: mapping values are not allowed in this context",
        ),
        ("a: *nope", "error: yaml: unknown anchor 'nope' referenced"),
        (
            "~: 1",
            "error: json: unsupported map key of type: %!s(<nil>), key: <nil>",
        ),
        ("a: .inf", "error: json: unsupported value: +Inf"),
        (
            "a: &a [*a]",
            "error: yaml: anchor 'a' value contains itself",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), expected, "{text:?}");
    }
}

#[test]
fn values_write_as_in_go() {
    let cases = [
        ("{b: [1, {c: d}], a: x}", "a: x\nb:\n- 1\n- c: d\n"),
        ("[[1, 2], []]", "- - 1\n  - 2\n- []\n"),
        ("{a: {}, m: ~, t: yes}", "a: {}\nm: null\nt: true\n"),
        (
            "{a10: 1, a2: 1, A: 1, _: 1, \"9\": 1, \"10\": 1}",
            "_: 1\n\"9\": 1\n\"10\": 1\nA: 1\na2: 1\na10: 1\n",
        ),
        ("a: \"x\\ny\"", "a: |-\n  x\n  y\n"),
        ("a: \"x\\n\"", "a: |\n  x\n"),
        ("a: \"x\\n\\n\"", "a: |+\n  x\n\n"),
        ("a: \" x\\ny\"", "a: |2-\n   x\n  y\n"),
        ("a: \"x \\ny\"", "a: \"x \\ny\"\n"),
        (
            "a: \"yes\"\nb: \"1\"\nc: \"\"\nd: \"1:30\"",
            "a: \"yes\"\nb: \"1\"\nc: \"\"\nd: \"1:30\"\n",
        ),
        (
            "a: '# x'\nb: 'a: b'\nc: 'a:b'\nd: ' x'",
            "a: '# x'\nb: 'a: b'\nc: a:b\nd: ' x'\n",
        ),
        ("a: \"it's\\t\"", "a: \"it's\\t\"\n"),
        (
            "a: 1000000\nb: 1234567.25\nc: 1e21",
            "a: 1000000\nb: 1.23456725e+06\nc: 1e+21\n",
        ),
        ("a: \"\u{1F600}\"", "a: \"\\U0001F600\"\n"),
    ];
    for (text, expected) in cases {
        assert_eq!(rewrite(text), expected, "{text:?}");
    }
}

#[test]
fn long_lines_fold_at_the_first_blank_past_column_80() {
    let long = format!("{} tail end", "x".repeat(90));
    let value = Value::Map([(b"a"[..].into(), Value::str(&long))].into_iter().collect());
    let text = String::from_utf8(to_yaml(&value).unwrap()).unwrap();
    assert_eq!(text, format!("a: {}\n  tail end\n", "x".repeat(90)));
}

#[test]
fn hostile_nesting_is_refused() {
    for text in [
        "[".repeat(5000),
        "{a: ".repeat(5000),
        "- ".repeat(5000),
        "? ".repeat(5000),
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(error.message.contains("exceeded max depth"), "{error}");
    }
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (from, to) in ('a'..'i').zip('b'..='i') {
        let items = vec![format!("*{from}"); 9].join(",");
        bomb.push_str(&format!("{to}: &{to} [{items}]\n"));
    }
    assert!(
        parse(bomb.as_bytes())
            .unwrap_err()
            .message
            .contains("excessive aliasing")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_or_refused(text in "[-\\[\\]{}:,?&*!|>'\"%@# a-c0-9\\n\\t.~<]{0,60}") {
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn what_is_written_reads_back(text in "\\PC{0,40}|[ \\n'\":#a-z0-9-]{0,40}") {
        let value = Value::Map([(b"k"[..].into(), Value::str(&text))].into_iter().collect());
        if let Ok(yaml) = to_yaml(&value) {
            let back = parse(&yaml).unwrap();
            prop_assert!(back.deep_equal(&value), "{:?} {:?}", String::from_utf8_lossy(&yaml), text);
        }
    }
}
