//! Tables of events: real ones of Dapr's, and each rule broken once.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What Dapr 1.18 makes of `POST /v1.0/publish/kafka-pubsub/task-events` with a
/// JSON body.
fn dapr() -> Value {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    json!({
        "data": {"task_id": "42", "title": "buy milk"},
        "datacontenttype": "application/json",
        "id": "d99b228f-6c73-4e78-8c4d-3f80a043d317",
        "pubsubname": "kafka-pubsub",
        "source": "todo-backend",
        "specversion": "1.0",
        "time": "2026-11-22T02:00:00+01:00",
        "topic": "task-events",
        "traceid": parent,
        "traceparent": parent,
        "tracestate": "",
        "type": "com.dapr.event.sent",
    })
}

fn judge(event: &Value) -> Event {
    Event::from_json(event.to_string().as_bytes())
}

fn with(change: &Value) -> Event {
    let mut event = dapr();
    for (name, value) in change.as_object().unwrap() {
        event[name] = value.clone();
    }
    judge(&event)
}

/// `severity path` of everything but the empty `tracestate`.
fn said(event: &Event) -> Vec<String> {
    let problems = event.problems().iter();
    problems
        .filter(|problem| problem.severity != Severity::Info)
        .map(|problem| format!("{} {}", problem.severity, problem.path))
        .collect()
}

#[test]
fn daprs_envelope_is_valid() {
    let event = judge(&dapr());
    assert_eq!(said(&event), [""; 0]);
    assert!(event.is_valid());
    assert_eq!(event.task().as_deref(), Some("42"));
    assert_eq!(
        event.trace().unwrap().trace,
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    let identity = ("todo-backend", "d99b228f-6c73-4e78-8c4d-3f80a043d317");
    assert_eq!(event.identity(), Some(identity));
}

#[test]
fn what_dapr_does_beside_the_letter_is_no_error() {
    let cases = [
        (
            json!({"traceid": "", "traceparent": ""}),
            vec!["warning traceid", "warning traceparent"],
        ),
        (
            json!({"traceid": "4bf92f3577b34da6a3ce929d0e0e4736"}),
            vec![],
        ),
        (
            json!({"traceid": "00000000000000000000000000000001"}),
            vec!["warning traceid"],
        ),
        (
            json!({"traceparent": "00-00000000000000000000000000000000-0000000000000000-00"}),
            vec!["warning traceparent"],
        ),
        (json!({"data": "not json"}), vec!["warning data"]),
        (json!({"expiration": "2026-11-22T02:01:00Z"}), vec![]),
        (json!({"tracestate": "UPPER=1"}), vec!["warning tracestate"]),
        (
            json!({"datacontenttype": "text/plain", "data": "hello"}),
            vec![],
        ),
    ];
    for (change, expected) in cases {
        let event = with(&change);
        assert_eq!(said(&event), expected, "{change}");
        assert!(event.is_valid(), "{change}");
    }
}

#[test]
fn each_rule_can_be_broken() {
    let cases = [
        (json!({"id": null}), "error id"),
        (json!({"id": ""}), "error id"),
        (json!({"id": 7}), "error id"),
        (json!({"source": ""}), "error source"),
        (json!({"source": "a b"}), "error source"),
        (json!({"source": "%zz"}), "error source"),
        (json!({"type": null}), "error type"),
        (json!({"specversion": "0.3"}), "error specversion"),
        (json!({"subject": ""}), "error subject"),
        (json!({"subject": 1}), "error subject"),
        (json!({"time": "22 November"}), "error time"),
        (json!({"time": "2026-11-22"}), "error time"),
        (json!({"time": "2026-13-22T00:00:00Z"}), "error time"),
        (json!({"time": "20261122T000000Z"}), "error time"),
        (json!({"dataschema": "/relative"}), "error dataschema"),
        (json!({"datacontenttype": "json"}), "error datacontenttype"),
        (json!({"datacontenttype": "text/plain"}), "error data"),
        (json!({"data_base64": "AAAA"}), "error data_base64"),
        (json!({"traceparent": "00-xyz"}), "error traceparent"),
        (json!({"traceparent": 5}), "error traceparent"),
        (json!({"TaskId": "1"}), "error TaskId"),
        (json!({"task_id": "1"}), "error task_id"),
        (json!({"extra": {"a": 1}}), "error extra"),
        (json!({"extra": 1.5}), "error extra"),
        (json!({"extra": 3_000_000_000_u64}), "error extra"),
        (json!({"extra": "a\u{7}b"}), "error extra"),
        (json!({"extra": "\u{fffe}"}), "error extra"),
        (
            json!({"averyveryverylongname": "1"}),
            "warning averyveryverylongname",
        ),
        (json!({"1st": "1"}), "warning 1st"),
    ];
    for (change, expected) in cases {
        let said = said(&with(&change));
        assert!(
            said.iter().any(|said| said == expected),
            "{change}: {said:?}"
        );
    }
}

#[test]
fn what_is_allowed_is_left_alone() {
    let cases = [
        json!({"subject": null}),
        json!({"extra": true, "other": -5}),
        json!({"time": "2026-11-22t02:00:00.123456789123z"}),
        json!({"time": "2026-11-22T02:00:00-00:00"}),
        json!({"datacontenttype": "application/vnd.todo+json; charset=\"utf-8\""}),
        json!({"source": "https://example.com/a?b=%20#c"}),
        json!({"source": "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"}),
        json!({"dataschema": "https://example.com/schema"}),
        json!({"subject": "Aufgabe für Zoë"}),
    ];
    for change in cases {
        assert_eq!(said(&with(&change)), [""; 0], "{change}");
    }
}

#[test]
fn binary_content_is_checked() {
    let mut event = dapr();
    event.as_object_mut().unwrap().remove("data");
    event["data_base64"] = json!("AAE=");
    assert!(judge(&event).is_valid());
    event["data_base64"] = json!("AAE");
    assert_eq!(said(&judge(&event)), ["error data_base64"]);
}

#[test]
fn what_is_no_event_is_one_error() {
    for text in ["", "no", "[]", "7", "{\"id\": \"\\ud800\"}"] {
        let event = Event::from_json(text.as_bytes());
        assert_eq!(event.problems().len(), 1, "{text}");
        assert!(!event.is_valid());
    }
}

#[test]
fn long_events_are_told() {
    let event = with(&json!({"data": {"text": "x".repeat(SAFE_SIZE)}}));
    assert_eq!(said(&event), ["warning "]);
}

#[test]
fn the_binary_mode_of_kafka_is_read() {
    let headers: [(&str, Option<&[u8]>); 6] = [
        ("ce_specversion", Some(b"1.0")),
        ("ce_id", Some(b"7")),
        ("ce_source", Some(b"todo")),
        ("ce_type", Some(b"task.created")),
        ("content-type", Some(b"application/json")),
        ("other", None),
    ];
    let event = Event::from_record(headers.into_iter(), br#"{"task_id": 42}"#);
    assert_eq!(said(&event), [""; 0]);
    assert_eq!(event.task().as_deref(), Some("42"));
    assert_eq!(event.kind(), Some("task.created"));
    let event = Event::from_record(headers[4..].iter().copied(), dapr().to_string().as_bytes());
    assert!(event.is_valid());
}

#[test]
fn the_task_is_found_where_apps_put_it() {
    let cases = [
        (json!({"task_id": "1", "id": "2"}), Some("1")),
        (json!({"taskId": 7}), Some("7")),
        (json!({"task": {"id": "3"}}), Some("3")),
        (json!({"id": "4"}), Some("4")),
        (json!({"id": [4]}), None),
        (json!("text"), None),
    ];
    for (data, expected) in cases {
        let event = with(&json!({"data": data}));
        assert_eq!(event.task().as_deref(), expected, "{data}");
    }
}

#[test]
fn problems_read_well() {
    let event = with(&json!({"id": null}));
    assert_eq!(event.problems()[0].to_string(), "error: `id` is missing");
    let event = Event::from_json(b"[]");
    let text = "error: a batch of events, where one belongs";
    assert_eq!(event.problems()[0].to_string(), text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_are_fatal(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        prop_assert!(!Event::from_json(&bytes).is_valid());
    }

    #[test]
    fn every_plain_event_is_valid(
        id in "[ -~&&[^\"\\\\]]{1,20}",
        kind in "[a-z.]{1,30}",
        name in "[a-z]{1,12}1",
        value in any::<i32>(),
        data in "\\PC{0,30}",
    ) {
        let event = judge(&json!({
            "specversion": "1.0", "id": id, "source": "todo", "type": kind, name: value,
            "data": {"text": data},
        }));
        prop_assert!(event.is_valid(), "{:?}", event.problems());
    }
}
