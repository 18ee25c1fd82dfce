use super::*;
use crate::helm::value::Map;

fn text(format: &str, args: &[Value]) -> String {
    String::from_utf8(sprintf(format.as_bytes(), args, 1 << 20).unwrap()).unwrap()
}

#[test]
fn floats_print_as_in_go() {
    let cases = [
        (8080.0, "8080"),
        (999_999.5, "999999.5"),
        (1e6, "1e+06"),
        (2_592_000.0, "2.592e+06"),
        (1_234_567.25, "1.23456725e+06"),
        (1.0, "1"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e-7, "1e-07"),
        (0.0, "0"),
        (-2.5, "-2.5"),
        (1e100, "1e+100"),
    ];
    for (f, expected) in cases {
        assert_eq!(float_g(f), expected);
    }
    assert_eq!(float_json(1e21), "1e+21");
    assert_eq!(float_json(1e-7), "1e-7");
    assert_eq!(float_json(1e20), "100000000000000000000");
    assert_eq!(float_json(0.00001), "0.00001");
}

#[test]
fn printf_prints_values_and_marks_mismatches() {
    let list = Value::list(vec![1_i64.into_int(), "a".into(), Value::Nil]);
    let cases: Vec<(&str, Vec<Value>, &str)> = vec![
        ("%d", vec![1.0.into()], "%!d(float64=1)"),
        ("%s", vec![1.0.into()], "%!s(float64=1)"),
        ("%s", vec![Value::Nil], "%!s(<nil>)"),
        ("%s", vec![], "%!s(MISSING)"),
        ("a", vec![Value::int(1)], "a%!(EXTRA int=1)"),
        ("%", vec![], "%!(NOVERB)"),
        ("%z", vec![Value::int(1)], "%!z(int=1)"),
        ("%s", vec![list.clone()], "[%!s(int=1) a <nil>]"),
        (
            "%v %T",
            vec![list.clone(), list],
            "[1 a <nil>] []interface {}",
        ),
        (
            "%05d|%-5d|%+d",
            vec![Value::int(42), Value::int(42), Value::int(42)],
            "00042|42   |+42",
        ),
        (
            "%x %X %#x",
            vec!["hi".into(), Value::int(255), Value::int(255)],
            "6869 FF 0xff",
        ),
        (
            "%q %.2s",
            vec!["a\"b".into(), "héllo".into()],
            "\"a\\\"b\" hé",
        ),
        (
            "%8.3f|%-8.2f|%e",
            vec![1.5.into(), 1.5.into(), 1.5.into()],
            "   1.500|1.50    |1.500000e+00",
        ),
        ("%[2]s %[1]s", vec!["a".into(), "b".into()], "b a"),
        ("%*d", vec![Value::int(5), Value::int(42)], "   42"),
        ("%c %U", vec![Value::int(65), Value::int(65)], "A U+0041"),
        (
            "%t %v",
            vec![true.into(), Value::Map(Map::new())],
            "true map[]",
        ),
        (
            "%g %G %.3g",
            vec![1e-7.into(), 1e-7.into(), 1234.5678.into()],
            "1e-07 1E-07 1.23e+03",
        ),
        ("%#v", vec!["a".into()], "\"a\""),
        ("100%%", vec![], "100%"),
    ];
    for (format, args, expected) in cases {
        assert_eq!(text(format, &args), expected, "{format}");
    }
}

trait IntoInt {
    fn into_int(self) -> Value;
}

impl IntoInt for i64 {
    fn into_int(self) -> Value {
        Value::int(self)
    }
}

#[test]
fn print_puts_blanks_between_operands_that_are_not_strings() {
    let args = ["a".into(), Value::int(1), Value::int(2), "b".into()];
    assert_eq!(sprint(&args), b"a1 2b");
    assert_eq!(sprintln(&args), b"a 1 2 b\n");
}

#[test]
fn a_map_that_holds_itself_prints_to_an_end() {
    let map = Map::new();
    map.set("self", map.clone());
    assert!(sprint_value(&Value::Map(map.clone())).len() < 100_000);
    map.remove("self");
}
