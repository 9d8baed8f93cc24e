//! What a subject says of a consumer, and what the body does.

use super::*;
use crate::jetstream::config::ConsumerSubject;

fn resolve(subject: ConsumerSubject<'_>, config: &str) -> Result<Option<String>, (u16, String)> {
    let text = format!(r#"{{"stream_name":"O","config":{config}}}"#);
    let mut request = ConsumerRequest::parse(text.as_bytes(), Mode::Strict).unwrap();
    let name = request.resolve("O", subject).map_err(said)?;
    assert_eq!(request.config.name, name.clone().unwrap_or_default());
    Ok(name)
}

#[test]
fn subjects_and_bodies_agree() {
    use ConsumerSubject::{Durable, Name, Nothing};
    let named = |name| Name { name, filter: None };
    let filtered = |filter| Name { name: "c", filter: Some(filter) };
    let rows = [
        (Nothing, "{}", Ok(None)),
        (Nothing, r#"{"name":"c"}"#, Ok(Some("c"))),
        (Nothing, r#"{"durable_name":"c"}"#, Err(10020)),
        (Nothing, r#"{"name":"a b"}"#, Err(10052)),
        (named("c"), "{}", Ok(Some("c"))),
        (named("c"), r#"{"name":"a.b"}"#, Ok(Some("c"))),
        (named("c"), r#"{"durable_name":"c"}"#, Ok(Some("c"))),
        (named("c"), r#"{"durable_name":"d"}"#, Err(10017)),
        (named("a/b"), "{}", Err(10127)),
        (named(r"a\b"), "{}", Err(10127)),
        (filtered("o.x"), r#"{"filter_subject":"o.x"}"#, Ok(Some("c"))),
        (filtered("o.x"), r#"{"filter_subject":"o.y"}"#, Err(10131)),
        (filtered("o.x"), "{}", Err(10131)),
        (filtered("o.x"), r#"{"filter_subjects":["o.x"]}"#, Err(10137)),
        (filtered("o.x"), r#"{"durable_name":"zz","filter_subjects":["o.x"]}"#, Err(10017)),
        (Durable { name: "c" }, r#"{"durable_name":"c"}"#, Ok(Some("c"))),
        (Durable { name: "c" }, "{}", Err(10018)),
        (Durable { name: "c" }, r#"{"durable_name":"d"}"#, Err(10017)),
        (Durable { name: "c" }, r#"{"durable_name":"c","name":"d"}"#, Ok(Some("c"))),
    ];
    for (subject, config, expected) in rows {
        let expected = expected.map(|name: Option<&str>| name.map(str::to_owned));
        assert_eq!(resolve(subject, config).map_err(|e| e.0), expected, "{subject:?} {config}");
    }
    let long = "x".repeat(256);
    let text = "consumer name is too long, maximum allowed is 255";
    assert_eq!(resolve(named(&long), "{}"), Err((10102, text.into())));
}

#[test]
fn the_stream_is_named_twice() {
    for text in ["", "{}", r#"{"stream_name":"X"}"#] {
        let mut request = ConsumerRequest::parse(text.as_bytes(), Mode::Strict).unwrap();
        let error = request.resolve("O", ConsumerSubject::Nothing).unwrap_err();
        assert_eq!(error, ApiError::stream_mismatch(), "{text}");
    }
}
