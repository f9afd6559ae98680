//! Tests of `directory`: each states one thing that it keeps.

use std::collections::BTreeSet;

use rstest::rstest;

use super::super::{Draft, FirstUser, Pattern};
use super::Operation::{Configure, Read, Write};
use super::Target::{Exchange, Queue, Topic};
use super::*;

/// A user with this password and these patterns.
fn with_patterns(configure: &str, write: &str, read: &str) -> Directory {
    let mut draft = Draft::new(Directory::default());
    let password = Some(PasswordHash::new(b"secret", [1; 4]).unwrap());
    draft
        .put_user(User {
            name: "ann".into(),
            password,
            tags: vec![],
        })
        .unwrap();
    let pattern = |source| Pattern::new(source).unwrap();
    let (configure, write, read) = (pattern(configure), pattern(write), pattern(read));
    draft
        .put_permission(Permission {
            user: "ann".into(),
            vhost: "/".into(),
            configure,
            write,
            read,
        })
        .unwrap();
    draft.into_parts().0
}

/// A user who has exactly these permissions.
fn with_exactly(cells: &BTreeSet<(Operation, Target<'_>)>) -> Directory {
    let pattern = |wanted: Operation| {
        let of_operation = cells.iter().filter(|(operation, _)| *operation == wanted);
        let names: Vec<String> = of_operation
            .map(|(_, target)| match target {
                Exchange(name) => format!("^{}$", String::from_utf8_lossy(name)),
                Queue(name) => format!("^{name}$"),
                Topic { .. } => unreachable!("topics have permissions of their own"),
            })
            .collect();
        names.join("|")
    };
    with_patterns(&pattern(Configure), &pattern(Write), &pattern(Read))
}

const X: Target<'_> = Exchange(b"exchange");
const Y: Target<'_> = Exchange(b"other");
const Q: Target<'_> = Queue("queue");

/// Every operation with every permission on everything that it names. The permissions that it needs are those
/// without which it is refused, and together they are enough.
#[rstest]
#[case::declare_exchange(Action::DeclareExchange { exchange: b"exchange", alternate: None }, &[(Configure, X)])]
#[case::declare_exchange_with_alternate(
    Action::DeclareExchange { exchange: b"exchange", alternate: Some(b"other") },
    &[(Configure, X), (Write, Y), (Read, X)]
)]
#[case::delete_exchange(Action::DeleteExchange(b"exchange"), &[(Configure, X)])]
#[case::declare_queue(Action::DeclareQueue { queue: "queue", dead_letter: None }, &[(Configure, Q)])]
#[case::declare_queue_with_dead_letters(
    Action::DeclareQueue { queue: "queue", dead_letter: Some(b"exchange") },
    &[(Configure, Q), (Write, X), (Read, Q)]
)]
#[case::delete_queue(Action::DeleteQueue("queue"), &[(Configure, Q)])]
#[case::bind_queue(Action::BindQueue { queue: "queue", exchange: b"exchange" }, &[(Write, Q), (Read, X)])]
#[case::bind_exchange(Action::BindExchange { destination: b"exchange", source: b"other" }, &[(Write, X), (Read, Y)])]
#[case::publish(Action::Publish(b"exchange"), &[(Write, X)])]
#[case::get(Action::Get("queue"), &[(Read, Q)])]
#[case::consume(Action::Consume("queue"), &[(Read, Q)])]
#[case::purge(Action::Purge("queue"), &[(Read, Q)])]
fn each_cell_of_the_permission_table(
    #[case] action: Action<'_>,
    #[case] needed: &[(Operation, Target<'static>)],
) {
    let needed: BTreeSet<_> = needed.iter().copied().collect();
    assert_eq!(with_exactly(&needed).check("ann", "/", action), Ok(()));
    let mut everything = BTreeSet::new();
    for operation in [Configure, Write, Read] {
        everything.extend([X, Y, Q].map(|target| (operation, target)));
    }
    for cell in &everything {
        let mut others = everything.clone();
        others.remove(cell);
        let answer = with_exactly(&others).check("ann", "/", action);
        assert_eq!(answer.is_err(), needed.contains(cell), "{cell:?}");
    }
}

#[rstest]
#[case(Configure)]
#[case(Write)]
#[case(Read)]
fn any_permission_is_enough_to_look(#[case] operation: Operation) {
    let directory = with_exactly(&BTreeSet::from([(operation, Q), (operation, X)]));
    let look = |target| directory.check("ann", "/", Action::DeclarePassively(target));
    assert_eq!((look(Q), look(X)), (Ok(()), Ok(())));
    assert_eq!(
        look(Y).unwrap_err().to_string(),
        "configure access to exchange 'other' in vhost '/' refused for user 'ann'"
    );
}

#[test]
fn the_default_exchange_is_checked_as_amq_default() {
    let directory = with_patterns("", "^amq\\.default$", "");
    assert_eq!(directory.check("ann", "/", Action::Publish(b"")), Ok(()));
    let refused = with_patterns("", "^$", "")
        .check("ann", "/", Action::Publish(b""))
        .unwrap_err();
    let text = "write access to exchange 'amq.default' in vhost '/' refused for user 'ann'";
    assert_eq!(refused.to_string(), text);
}

#[test]
fn line_breaks_do_not_get_a_name_past_a_pattern() {
    let directory = with_patterns("^mine$", "", "");
    assert!(directory.allows("ann", "/", Configure, Queue("mi\r\nne")));
    assert!(!directory.allows("ann", "/", Configure, Queue("mine\nyours")));
}

#[test]
fn without_a_permission_in_the_virtual_host_nothing_is_allowed() {
    let directory = with_patterns(".*", ".*", ".*");
    assert!(directory.may_enter("ann", "/"));
    assert!(!directory.may_enter("ann", "other"));
    assert!(!directory.may_enter("bob", "/"));
    assert!(!directory.allows("ann", "other", Read, Q));
    assert!(!directory.allows("bob", "/", Read, Q));
}

#[test]
fn one_may_enter_where_one_may_do_nothing() {
    let directory = with_patterns("", "", "");
    assert!(directory.may_enter("ann", "/"));
    assert!(directory.check("ann", "/", Action::Get("queue")).is_err());
    assert!(directory.check("ann", "/", Action::DeclarePassively(Q)).is_err());
}

#[test]
fn only_the_right_password_logs_in() {
    let directory = with_patterns(".*", ".*", ".*");
    let login = directory.authenticate("ann", b"secret", Peer::Remote).unwrap();
    assert_eq!(&**login.user(), "ann");
    for (user, password) in [
        ("ann", &b"Secret"[..]),
        ("ann", b""),
        ("bob", b"secret"),
        ("", b""),
    ] {
        assert_eq!(
            directory
                .authenticate(user, password, Peer::Loopback)
                .unwrap_err(),
            AuthError::Wrong
        );
    }
}

#[test]
fn a_user_without_a_password_cannot_log_in() {
    let mut directory = Directory::default();
    directory.put_user(User {
        name: "ann".into(),
        password: None,
        tags: vec![],
    });
    assert_eq!(
        directory.authenticate("ann", b"", Peer::Loopback).unwrap_err(),
        AuthError::Wrong
    );
}

#[test]
fn guest_comes_from_this_machine_only() {
    let mut draft = Draft::new(Directory::default());
    draft
        .put_first_user(&FirstUser {
            name: "guest",
            password: b"guest",
            vhost: "/",
            salt: [7; 4],
        })
        .unwrap();
    let (directory, _) = draft.into_parts();
    assert!(directory.authenticate("guest", b"guest", Peer::Loopback).is_ok());
    let refused = directory
        .authenticate("guest", b"guest", Peer::Remote)
        .unwrap_err();
    assert_eq!(refused, AuthError::LoopbackOnly);
    // A wrong password is told the same as anywhere.
    assert_eq!(
        directory
            .authenticate("guest", b"wrong", Peer::Remote)
            .unwrap_err(),
        AuthError::Wrong
    );
}

#[test]
fn the_first_user_is_an_administrator_who_may_do_everything() {
    let mut draft = Draft::new(Directory::default());
    draft
        .put_first_user(&FirstUser {
            name: "root",
            password: b"pw",
            vhost: "main",
            salt: [7; 4],
        })
        .unwrap();
    let (directory, changes) = draft.into_parts();
    assert_eq!(directory.user("root").unwrap().tags, ["administrator"]);
    assert_eq!(directory.check("root", "main", Action::Publish(b"any")), Ok(()));
    assert!(directory.authenticate("root", b"pw", Peer::Remote).is_ok());
    assert!(!changes.is_empty());
}

#[test]
fn impersonators_are_told_by_their_tag() {
    let mut directory = with_patterns("", "", "");
    assert!(
        !directory
            .authenticate("ann", b"secret", Peer::Remote)
            .unwrap()
            .may_impersonate()
    );
    let user = User {
        tags: vec!["impersonator".into()],
        ..directory.user("ann").unwrap().clone()
    };
    directory.put_user(user);
    assert!(
        directory
            .authenticate("ann", b"secret", Peer::Remote)
            .unwrap()
            .may_impersonate()
    );
    assert!(
        directory.may_enter("ann", "/"),
        "a changed user keeps the permissions"
    );
}

#[test]
fn a_deleted_user_or_virtual_host_leaves_no_permissions() {
    let mut draft = Draft::new(with_patterns(".*", ".*", ".*"));
    draft
        .put_permission(Permission::everything("ann", "other"))
        .unwrap();
    assert!(draft.put_permission(Permission::everything("bob", "/")).is_err());
    draft.forget_vhost("other");
    assert!(!draft.directory().may_enter("ann", "other"));
    assert!(draft.directory().may_enter("ann", "/"));
    draft.delete_user("ann");
    assert_eq!(draft.directory().permissions().count(), 0);
}
