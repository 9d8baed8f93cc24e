use super::*;

fn connect(json: &str) -> Result<ConnectOptions, Violation> {
    let mut options = ConnectOptions::default();
    options.update(json.as_bytes()).map(|()| options)
}

#[test]
fn what_is_not_said_is_the_references_default() {
    for json in ["{}", "null", " { } ", r#"{"verbose":null,"name":null}"#, r#"{"x":{"y":[1]}}"#] {
        assert_eq!(connect(json), Ok(ConnectOptions::default()), "{json}");
    }
    let options = ConnectOptions::default();
    assert!(options.verbose && options.pedantic && options.echo);
    assert!(!options.headers && !options.no_responders && options.protocol == 0);
}

#[test]
fn all_that_core_needs_is_read() {
    let options = connect(
        r#"{"verbose":false,"pedantic":false,"echo":false,"headers":true,"no_responders":true,
            "tls_required":true,"protocol":1,"name":"n","lang":"rust","version":"1.2","user":"u",
            "pass":"p","auth_token":"t","nkey":"k","sig":"s","jwt":"j","account":"A"}"#,
    );
    let text = |text: &str| text.into();
    let expected = ConnectOptions {
        verbose: false,
        pedantic: false,
        echo: false,
        headers: true,
        no_responders: true,
        tls_required: true,
        protocol: 1,
        name: text("n"),
        lang: text("rust"),
        version: text("1.2"),
        credentials: Credentials {
            user: text("u"),
            pass: text("p"),
            auth_token: text("t"),
            nkey: text("k"),
            sig: text("s"),
            jwt: text("j"),
            account: text("A"),
        },
    };
    assert_eq!(options, Ok(expected));
}

#[test]
fn names_ignore_case_and_the_last_counts() {
    for json in [r#"{"VERBOSE":false}"#, r#"{"verbose":true,"Verbose":false}"#] {
        assert!(!connect(json).unwrap().verbose, "{json}");
    }
    assert!(connect(r#"{"Verbose":false,"verbose":true}"#).unwrap().verbose);
}

#[test]
fn a_later_connect_changes_what_it_names() {
    let mut options = connect(r#"{"verbose":false,"name":"n","user":"u"}"#).unwrap();
    options.update(br#"{"lang":"go","name":null}"#).unwrap();
    assert_eq!((options.verbose, &*options.name, &*options.lang), (false, "n", "go"));
    assert_eq!(&*options.credentials.user, "u");
    options.update(br#"{"name":""}"#).unwrap();
    assert_eq!(&*options.name, "");
}

/// Each asked of nats-server 2.15.1, which closes without a word.
#[test]
fn malformed_options_end_the_connection_silently() {
    let rows = [
        "",
        "{",
        "[]",
        "1",
        "x",
        "\"a\"",
        "{}x",
        "{} {}",
        "{,}",
        "\u{feff}{}",
        r#"{"verbose":0}"#,
        r#"{"verbose":"x"}"#,
        r#"{"echo":1}"#,
        r#"{"name":5}"#,
        r#"{"lang":5}"#,
        r#"{"version":[]}"#,
        r#"{"user":5}"#,
        r#"{"pass":1}"#,
        r#"{"auth_token":1}"#,
        r#"{"nkey":1}"#,
        r#"{"jwt":1}"#,
        r#"{"sig":5}"#,
        r#"{"proxy_sig":1}"#,
        r#"{"new_account":5}"#,
        r#"{"remote_account":5}"#,
        r#"{"tls_required":5}"#,
        r#"{"import":5}"#,
        r#"{"import":"x"}"#,
        r#"{"protocol":1.0}"#,
        r#"{"protocol":1.5}"#,
        r#"{"protocol":1e0}"#,
        r#"{"protocol":"1"}"#,
        r#"{"protocol":99999999999999999999}"#,
        "{\"name\":\"a\tb\"}",
        "{\"name\":\"\0\"}",
        r#"{"verbose":false,}"#,
    ];
    for json in rows {
        assert_eq!(connect(json), Err(Violation::BAD_ARGUMENTS), "{json}");
    }
}

#[test]
fn what_else_the_reference_takes() {
    for json in [r#"{"import":{"allow":["a"]}}"#, r#"{"token":5}"#, r#"{"protocol":null}"#] {
        assert!(connect(json).is_ok(), "{json}");
    }
    let mut options = ConnectOptions::default();
    options.update(b"{\"name\":\"a\xffb\"}").unwrap();
    assert_eq!(&*options.name, "a\u{fffd}b");
}

#[test]
fn options_that_contradict_are_refused_aloud() {
    let rows = [
        (r#"{"protocol":2}"#, Violation::BAD_CLIENT_PROTOCOL),
        (r#"{"protocol":-1}"#, Violation::BAD_CLIENT_PROTOCOL),
        (r#"{"protocol":5,"no_responders":true}"#, Violation::BAD_CLIENT_PROTOCOL),
        (r#"{"no_responders":true}"#, Violation::NO_RESPONDERS_WITHOUT_HEADERS),
    ];
    for (json, violation) in rows {
        assert_eq!(connect(json).unwrap().check(), Err(violation), "{json}");
    }
}

#[test]
fn options_that_do_not_are_served() {
    for json in ["{}", r#"{"protocol":1,"no_responders":true,"headers":true}"#] {
        assert_eq!(connect(json).unwrap().check(), Ok(()), "{json}");
    }
}

#[test]
fn long_client_texts_are_cut_between_characters() {
    let name = format!("a{}", "é".repeat(200));
    let options = connect(&format!(r#"{{"name":"{name}"}}"#)).unwrap();
    assert_eq!(options.name.len(), 255);
    assert!(name.starts_with(&*options.name));
}

#[test]
fn info_from_a_client_is_an_object() {
    for json in ["{}", "null", " {\"a\":[1,{}]} "] {
        assert!(is_object(json.as_bytes()), "{json}");
    }
    for json in ["", "x", "[]", "1", "{", "{} x"] {
        assert!(!is_object(json.as_bytes()), "{json}");
    }
}
