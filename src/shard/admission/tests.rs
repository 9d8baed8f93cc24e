use std::sync::Arc;

use super::*;
use crate::security::SubjectRules;
use crate::shard::effects::Wish;
use crate::shard::stage::{Stage, access, settings, user};
use crate::types::time::SECOND;

/// bcrypt of nothing in particular: no test computes one.
const HASH: &str = "$2a$10$abcdefghijklmnopqrstuu";

const REFUSED: &str = "-ERR 'Authorization Violation'\r\n";
const CONNECT_A: &str = "CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"p\"}\r\n";

#[test]
fn nothing_is_executed_before_connect() {
    let mut stage = Stage::new([user("a", "p")]);
    for first in ["PING\r\n", "SUB a 1\r\n", "x", " "] {
        let key = stage.open();
        assert_eq!(stage.say(key, first), REFUSED, "{first:?}");
        assert!(!stage.is_open(key));
    }
    let key = stage.open();
    assert_eq!(stage.say(key, &format!("{CONNECT_A}PING\r\n")), "PONG\r\n");
}

#[test]
fn a_client_that_says_nothing_has_two_seconds() {
    let mut stage = Stage::new([user("a", "p")]);
    let (silent, known) = (stage.open(), stage.open());
    stage.say(known, CONNECT_A);
    stage.turn_at(2 * SECOND - 1);
    assert!(stage.is_open(silent));
    stage.turn_at(2 * SECOND);
    assert_eq!(stage.heard(silent), "-ERR 'Authentication Timeout'\r\n");
    assert!(!stage.is_open(silent) && stage.is_open(known));
}

#[test]
fn commands_wait_while_a_password_is_checked() {
    let mut stage = Stage::new([user("a", HASH)]);
    let key = stage.open();
    assert_eq!(stage.say(key, &format!("{CONNECT_A}SUB a 1\r\nPUB a 1\r\n1\r\nPI")), "");
    assert_eq!(stage.0.wish(), Wish::AtOnce, "somebody has to take the proof");
    let proofs = std::mem::take(&mut stage.0.effects.proofs);
    assert_eq!(proofs.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key]);
    assert!(!stage.0.wants_read(key));
    assert_eq!(stage.say(key, "NG\r\n"), "", "a read that was under way");
    stage.turn_at(5 * SECOND);
    assert!(stage.is_open(key), "the time was for CONNECT");

    stage.0.on_proved(key, true);
    stage.turn_at(5 * SECOND + 1);
    assert!(stage.heard(key).ends_with("MSG a 1 1\r\n1\r\nPONG\r\n"));
    assert!(stage.0.wants_read(key));
}

#[test]
fn what_waited_is_dropped_if_the_password_was_wrong() {
    let mut stage = Stage::new([user("a", HASH)]);
    let key = stage.open();
    stage.say(key, &format!("{CONNECT_A}PING\r\n"));
    stage.0.on_proved(key, false);
    stage.turn_at(1);
    assert_eq!(stage.heard(key), REFUSED);
    stage.0.on_closed(key);
    stage.0.on_proved(key, true); // Of a connection that is gone.
}

#[test]
fn a_user_that_goes_while_its_password_is_checked_stays_out() {
    let mut stage = Stage::new([user("a", HASH)]);
    let key = stage.open();
    stage.say(key, CONNECT_A);
    stage.0.set_settings(settings(access([user("b", "p")])));
    stage.0.on_proved(key, true);
    assert_eq!(stage.heard(key), REFUSED);
}

#[test]
fn a_reload_asks_again_only_who_may_have_changed() {
    let mut stage = Stage::new([user("a", HASH)]);
    let key = stage.open();
    stage.say(key, CONNECT_A);
    stage.0.on_proved(key, true);
    stage.turn_at(1);
    stage.0.effects.proofs.clear();

    stage.0.set_settings(settings(access([user("a", HASH), user("b", "p")])));
    assert!(stage.0.effects.proofs.is_empty() && stage.is_open(key));
    stage.0.set_settings(settings(access([user("a", "$2a$10$other")])));
    assert_eq!(stage.0.effects.proofs.len(), 1);
    assert_eq!(stage.say(key, "PING\r\n"), "PONG\r\n", "it goes on meanwhile");
    stage.0.on_proved(key, false);
    assert_eq!(stage.heard(key), REFUSED);
}

#[test]
fn a_reload_with_the_same_users_judges_nobody() {
    let mut stage = Stage::new([user("a", "p")]);
    let key = stage.open();
    stage.say(key, CONNECT_A);
    let same = Arc::clone(&stage.0.settings.access);
    stage.0.connections.get_mut(key).unwrap().profile.options.credentials.pass = "x".into();
    stage.0.set_settings(settings(same));
    assert!(stage.is_open(key));
}

#[test]
fn a_reload_drops_what_is_forbidden_now() {
    let mut stage = Stage::new([user("a", "p")]);
    let key = stage.open();
    stage.say(key, &format!("{CONNECT_A}SUB ok.> 1\r\nSUB no 2\r\n"));
    let subscribe = SubjectRules { allow: Some(vec!["ok.>".into()]), deny: vec!["ok.no".into()] };
    let permissions = crate::security::Permissions { subscribe, ..Default::default() };
    stage.0.set_settings(settings(access([user("a", "p").with_permissions(permissions)])));
    assert_eq!(
        stage.heard(key),
        "-ERR 'Permissions Violation for Subscription to \"no\" (sid \"2\")'\r\n"
    );
    let heard = stage.say(key, "PUB no 0\r\n\r\nPUB ok.no 0\r\n\r\nPUB ok.a 0\r\n\r\n");
    assert!(heard.ends_with("MSG ok.a 1 0\r\n\r\n") && !heard.contains("MSG ok.no"), "{heard}");
}

#[test]
fn servers_keep_some_subjects_for_themselves() {
    for subject in ["_GR_.a", "$NRG.a"] {
        assert!(is_reserved_subject(subject.as_bytes()), "{subject}");
    }
    for subject in ["_GR_.", "$GNR.a", "_R_.a", "$JS.ACK.a", "a"] {
        assert!(!is_reserved_subject(subject.as_bytes()), "{subject}");
    }
    for reply in ["_R_.", "_R_.a", "_GR_.a", "$JS.ACK.a"] {
        assert!(is_reserved_reply(reply.as_bytes()), "{reply}");
    }
    for reply in ["$JS.ACK.", "_GR_.", "$GNR.a", "_INBOX.a", ""] {
        assert!(!is_reserved_reply(reply.as_bytes()), "{reply}");
    }
}
