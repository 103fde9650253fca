#![allow(clippy::unwrap_used)]

use super::*;
use crate::{DeploymentId, FactKind, ServiceKey, Task};

fn subjects() -> Vec<Subject> {
    let key = ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() };
    let deployment: DeploymentId = "01jqz0000000000000000000ab".parse().unwrap();
    let mut subjects = vec![Subject::Decisions(key.clone()), Subject::State(key.clone())];
    for stage in Stage::ALL {
        subjects.push(Subject::Run { stage, key: key.clone() });
        let host = stage.per_host().then(|| "10.0.0.1".parse().unwrap());
        for kind in FactKind::ALL {
            let task = Task { stage, host: host.clone() };
            subjects.push(Subject::Fact { key: key.clone(), deployment: deployment.clone(), task, kind });
        }
    }
    subjects
}

#[test]
fn what_the_server_lets_a_user_write_is_what_readers_take_from_it() {
    for user in BusUser::ALL {
        let permissions = user.permissions();
        for subject in subjects() {
            let (server, reader) = (permissions.publishes(&subject.to_string()), user.may_write(&subject));
            assert_eq!(server, reader, "{user} on {subject}");
        }
        let key = subjects()[0].key().clone();
        for duty in Duty::ALL {
            for subject in [Subject::lease_of(duty, &key), Subject::note_of(duty, &key)] {
                assert_eq!(permissions.publishes(&subject), user.may_hold(duty), "{user} on {subject}");
            }
        }
    }
}

#[test]
fn every_fact_has_one_user_that_may_write_it() {
    for subject in subjects() {
        let writers = BusUser::ALL.into_iter().filter(|user| user.may_write(&subject)).count();
        assert_eq!(writers, if matches!(subject, Subject::Run { .. }) { 6 } else { 1 }, "{subject}");
    }
}

#[test]
fn no_program_can_take_anything_out_of_a_stream_or_make_a_consumer() {
    let powers = ["STREAM.PURGE", "STREAM.UPDATE", "STREAM.CREATE", "CONSUMER.CREATE"];
    let nobodys = [
        "STREAM.DELETE",
        "STREAM.MSG.DELETE",
        "STREAM.RESTORE",
        "STREAM.SNAPSHOT",
        "CONSUMER.DELETE",
        "CONSUMER.RESET",
        "CONSUMER.PAUSE",
    ];
    for user in BusUser::ALL {
        let imported = user.asks(BusUser::Operator);
        for power in nobodys.iter().chain(powers.iter().filter(|_| user != BusUser::Operator)) {
            for rest in ["", ".x", ".x.cutover.run.build.>"] {
                let wanted = format!("$JS.API.{power}.{LOG_STREAM}{rest}");
                assert!(!imported.iter().any(|subject| is_within(&wanted, subject)), "{user}: {wanted}");
                for wanted in [user.in_own_words(wanted.clone()), wanted] {
                    assert!(!user.permissions().publishes(&wanted), "{user}: {wanted}");
                }
            }
        }
    }
}

/// Every consumer, with the program whose it is, where it is one's alone.
fn consumers() -> Vec<(&'static str, String, Option<Program>)> {
    let of_stages = Stage::ALL.map(|stage| (LOG_STREAM, stage.consumer(), Some(stage.program())));
    of_stages.into_iter().chain([(TIMER_STREAM, WAKE_CONSUMER.to_owned(), None)]).collect()
}

/// Whether a subject may be of both patterns.
fn overlap(one: &[&str], other: &[&str]) -> bool {
    match (one, other) {
        ([], []) => true,
        ([">"], [_, ..]) | ([_, ..], [">"]) => true,
        ([a, one @ ..], [b, other @ ..]) => (a == b || *a == "*" || *b == "*") && overlap(one, other),
        _ => false,
    }
}

#[test]
fn nobody_acknowledges_what_another_program_takes() {
    let tokens = |pattern: &'static str| pattern.split('.').collect::<Vec<_>>();
    assert!(overlap(&tokens("a.*.b.>"), &tokens("a.c.*.d.e")) && overlap(&tokens("a.>"), &tokens("*.b")));
    assert!(!overlap(&tokens("a.*"), &tokens("a.b.c")) && !overlap(&tokens("a.>"), &tokens("a")));
    for user in BusUser::ALL {
        let publish = user.permissions().publish;
        for pattern in user.asks(BusUser::Operator).iter().chain(&publish) {
            let asked: Vec<_> = pattern.split('.').collect();
            for (stream, consumer, program) in consumers() {
                // As the server listens to them (nats-server 2.15), whatever its domain and its account are called.
                let listens = [
                    format!("$JS.ACK.{stream}.{consumer}.*.*.*.*.*"),
                    format!("$JS.ACK.*.*.{stream}.{consumer}.*.*.*.*.>"),
                ];
                let is_own = matches!(user, BusUser::Program(own) if program.is_none_or(|of| of == own));
                for listens in listens {
                    let listens: Vec<_> = listens.split('.').collect();
                    assert!(is_own || !overlap(&asked, &listens), "{user}: {pattern} is {consumer}'s");
                }
            }
        }
    }
}

#[test]
fn an_answer_is_nobodys_request_in_the_account_of_who_has_asked() {
    for user in BusUser::ALL.into_iter().filter(|user| *user != BusUser::Operator) {
        let imports = imports(user);
        assert!(!imports.is_empty() && imports.iter().all(|import| !import.contains(" to: \"$")), "{user}");
        // What it reads it may be sent as it likes; what it writes is its own to write.
        for subject in subjects().into_iter().filter(|subject| !user.may_write(subject)) {
            let subject = subject.to_string();
            assert!(!user.asks(BusUser::Operator).iter().any(|asked| is_within(&subject, asked)));
        }
    }
}

#[test]
fn nobody_listens_where_another_gets_answers_or_where_entries_are_written() {
    for user in BusUser::ALL {
        for other in BusUser::ALL.into_iter().filter(|other| *other != user) {
            let inbox = format!("{}.x.1", other.inbox());
            assert!(!user.permissions().subscribe.iter().any(|pattern| is_within(&inbox, pattern)));
        }
        for subject in subjects() {
            let subscribe = user.permissions().subscribe;
            assert!(!subscribe.iter().any(|pattern| is_within(&subject.to_string(), pattern)));
        }
    }
}

#[test]
fn patterns_match_as_the_server_matches_them() {
    assert!(is_within("a.b.c", "a.*.c") && is_within("a.b.c", "a.>") && is_within("a.b.>", "a.b.>"));
    assert!(!is_within("a", "a.>") && !is_within("a.b", "a") && !is_within("a.b.c", "a.*"));
}
