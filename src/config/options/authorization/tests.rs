use std::path::Path;

use super::super::Options;
use super::*;
use crate::config::Surroundings;
use crate::security::Responses;

const NKEY: &str = "UCOWDXP7OHKRYF5XVTO7HSS7HKRGO3CCLT2KOETZIGRTTXNHRTXPHIQA";

fn read(text: &str) -> Result<Options, ConfigError> {
    let surroundings =
        Surroundings { read: &|_| Ok(text.as_bytes().to_vec()), variable: &|_| None };
    let options = Options::from_file(Path::new("F"), &surroundings)?;
    options.validate()?;
    Ok(options)
}

fn auth(text: &str) -> Authorization {
    read(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).authorization
}

fn permissions(text: &str) -> Permissions {
    let auth =
        auth(&format!("authorization {{ users: [ {{ user: a, permissions: {{ {text} }} }} ] }}"));
    auth.users[0].permissions().expect("it has some").clone()
}

/// The texts are those of nats-server 2.15.1.
#[test]
fn what_the_reference_refuses_is_refused_in_its_words() {
    for (text, expected) in [
        ("user: a, password: p, token: t", "F:1:0: Cannot have a user/pass and token"),
        ("password: p, token: t", "F:1:0: Cannot have a user/pass and token"),
        ("users: [{user: a}, {user: a}]", "F:1:0: Duplicate user \"a\" detected"),
        ("user: a, users: []", "F:1:0: Can not have a single user/pass and a users array"),
        ("token: a, users: [{user: b}]", "F:1:0: Can not have a token and a users array"),
        ("users: [{password: x}]", "F:1:25: User entry requires a user"),
        ("users: [{user: \"\", password: x}]", "F:1:35: User entry requires a user"),
        ("users: [{nkey: x}]", "F:1:25: Not a valid public nkey for a user"),
        ("users: [{user: b, bogus: 1}]", "F:1:34: unknown field \"bogus\""),
        ("bogus: 1", "F:1:16: unknown field \"bogus\""),
        ("user: 1", "F:1:16: interface conversion: interface {} is int64, not string"),
        (
            "timeout: \"x\"",
            "F:1:16: error parsing authorization config, 'timeout' time: invalid duration \"x\"",
        ),
        ("timeout: yes", "F:1:16: error parsing authorization config, 'timeout' wrong type"),
        (
            "users: [{user: b, connection_types: [STANDARD, foo, bar]}]",
            "F:1:34: invalid connection types [\"FOO\" \"BAR\"]",
        ),
    ] {
        let error = read(&format!("authorization {{ {text} }}")).expect_err(text).to_string();
        assert_eq!(error, expected, "{text}");
    }
    let error = read("authorization: x").expect_err("no map").to_string();
    assert_eq!(
        error,
        "F:1:0: interface conversion: interface {} is string, not map[string]interface {}"
    );
}

#[test]
fn nkey_users_have_neither_name_nor_password() {
    for more in ["user: x", "password: x"] {
        let text = format!("authorization {{ users: [ {{ nkey: {NKEY}, {more} }} ] }}");
        let error = read(&text).expect_err(more).to_string();
        assert!(error.ends_with("Nkey users do not take usernames or passwords"), "{error}");
    }
    let twice = format!("authorization {{ users: [ {{ nkey: {NKEY} }}, {{ nkey: {NKEY} }} ] }}");
    let error = read(&twice).expect_err("twice").to_string();
    assert_eq!(error, format!("F:1:0: Duplicate nkey \"{NKEY}\" detected"));
}

#[test]
fn what_we_lack_is_refused_by_name() {
    for (text, name) in [
        ("auth_callout: { issuer: x }", "auth_callout"),
        ("proxy_required: true", "proxy_required"),
        ("users: [ { user: a, proxy_required: true } ]", "proxy_required"),
    ] {
        let error = read(&format!("authorization {{ {text} }}")).expect_err(text).to_string();
        assert!(error.ends_with(&format!("{name:?} is not supported yet")), "{error}");
    }
    auth("authorization { users: [ { user: a, proxy_required: false } ], proxy_required: false }");
}

#[test]
fn no_auth_user_is_one_of_the_users() {
    for (text, expected) in [
        ("no_auth_user: z", "no_auth_user: \"z\" present, but users/nkeys are not defined"),
        (
            "no_auth_user: z\nauthorization { users: [ {user: b} ] }",
            "no_auth_user: \"z\" not present as user or nkey in authorization block or account \
             configuration",
        ),
    ] {
        assert_eq!(read(text).expect_err(text).to_string(), expected);
    }
    for text in [
        "no_auth_user: b\nauthorization { users: [ {user: b} ] }".to_owned(),
        format!("authorization {{ users: [ {{nkey: {NKEY}}} ] }}\nno_auth_user: {NKEY}"),
    ] {
        assert!(auth(&text).no_auth_user.is_some(), "{text}");
    }
}

#[test]
fn timeouts_are_seconds_or_durations() {
    for (text, expected) in [
        ("0.5", Duration::from_millis(500)),
        ("3", Duration::from_secs(3)),
        ("\"250ms\"", Duration::from_millis(250)),
        ("\"2m\"", Duration::from_secs(120)),
        ("61", Duration::from_secs(61)),
        ("0", TIMEOUT),
    ] {
        assert_eq!(auth(&format!("authorization {{ timeout: {text} }}")).timeout, expected);
    }
    assert!(read("authorization { timeout: -1 }").is_err());
    assert!(auth("authorization { timeout: 9e }").timeout <= TIMEOUT_MAX);
}

#[test]
fn plain_passwords_are_warned_of() {
    const WARNING: &str = "Plaintext passwords detected, use nkeys or bcrypt";
    for (text, expected) in [
        ("authorization { user: a, password: p }", true),
        ("authorization { password: p }", true),
        ("authorization { users: [ {user: a} ] }", true),
        ("authorization { token: t }", false),
        ("authorization { user: a, password: \"$2a$11$x\" }", false),
        ("authorization { users: [ {user: a, password: \"$2b$11$x\"} ] }", false),
        (&format!("authorization {{ users: [ {{nkey: {NKEY}}} ] }}"), false),
        ("debug: true", false),
    ] {
        let warnings = read(text).expect(text).warnings();
        assert_eq!(warnings.contains(&WARNING), expected, "{text}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let auth = auth("authorization { user: a, password: secret }");
    assert!(!format!("{auth:?}").contains("secret"));
}

#[test]
fn permissions_come_in_several_forms() {
    let list = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    let read = permissions("pub: x, sub: [y, \"q qq\"]");
    assert_eq!((read.publish.allow, read.subscribe.allow), (list(&["x"]), list(&["y", "q qq"])));
    let read = permissions("import: {allow: [], deny: [a, b]}, export: {deny: \"q qq\"}");
    assert_eq!((read.publish.allow, Some(read.publish.deny)), (None, list(&["a", "b"])));
    assert_eq!(Some(read.subscribe.deny), list(&["q qq"]));
    assert_eq!(permissions("publish: {}"), Permissions::default());
}

#[test]
fn responses_close_what_is_not_allowed_by_name() {
    let default = Responses::default();
    for (text, expected) in [
        ("true", default),
        ("{}", default),
        ("{max: 5}", Responses { max: 5, ..default }),
        ("{max: 0, ttl: \"0s\"}", default),
        (
            "{max_responses: -1, expires: \"-1s\"}",
            Responses { max: -1, expires_ns: -1_000_000_000 },
        ),
    ] {
        let read = permissions(&format!("allow_responses: {text}"));
        assert_eq!((read.responses, read.publish.allow), (Some(expected), Some(Vec::new())));
    }
    let read = permissions("allow_responses: true, publish: x");
    assert_eq!(read.publish.allow, Some(vec!["x".to_owned()]));
    assert_eq!(permissions("allow_responses: false"), Permissions::default());
}

#[test]
fn bad_permissions_are_refused_in_the_words_of_the_reference() {
    for (text, expected) in [
        ("bogus: x", "Unknown field \"bogus\" parsing permissions"),
        ("publish: \"a b\"", "subject \"a b\" is not a valid subject"),
        ("publish: {allow: \"a..b\"}", "subject \"a..b\" is not a valid subject"),
        ("subscribe: \"a b c\"", "subject \"a b c\" is not a valid subject"),
        ("subscribe: \"a..b q\"", "subject \"a..b\" is not a valid subject"),
        ("subscribe: \"a q..c\"", "queue \"q..c\" is not a valid queue"),
        (
            "publish: {al: [x]}",
            "Unknown field name \"al\" parsing subject permissions, only 'allow' or 'deny' are \
             permitted",
        ),
        (
            "publish: 5",
            "Expected subject permissions to be a subject, or array of subjects, got int64",
        ),
        ("publish: [1 , 2]", "Subject in permissions array cannot be cast to string"),
        ("allow_responses: 1", "error parsing response permissions, expected a boolean or a map"),
        ("allow_responses: {ttl: 1}", "error parsing expires, not a duration string"),
        ("allow_responses: {ttl: \"x\"}", "error parsing expires: time: invalid duration \"x\""),
        ("allow_responses: {bog: 1}", "Unknown field \"bog\" parsing permissions"),
    ] {
        let text =
            format!("authorization {{ users: [ {{ user: a, permissions: {{ {text} }} }} ] }}");
        let error = read(&text).expect_err(&text).to_string();
        assert!(error.ends_with(expected), "{text}: {error}");
    }
}

#[test]
fn users_without_permissions_have_the_default_ones() {
    let auth = auth(
        "authorization { default_permissions: { publish: d }
           users: [ { user: a }, { user: b, permissions: {} } ] }",
    );
    let allowed = |at: usize| auth.users[at].permissions().and_then(|p| p.publish.allow.clone());
    assert_eq!((allowed(0), allowed(1)), (Some(vec!["d".to_owned()]), None));
}
