//! Every statement at least once, on a file.

use chassis::Tasks;
use db::Db;
use domain::{AccountId, Mode, UserId};

use super::{
    act, member,
    passkey::{self, Added, Removed},
    person,
    sent_form::{self, Sent},
    session, sign_up, token,
};
use crate::{
    Error, MIGRATIONS,
    people::{InviteKind, PasskeyKind, Role, SessionKind},
};

/// Runs one piece of work in a transaction.
macro_rules! write {
    ($db:expr, $connection:ident => $work:expr) => {
        $db.write(move |$connection| Box::pin(async move { Ok::<_, Error>($work) }))
            .await
            .unwrap()
    };
}

async fn open() -> (Db, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("dashboard.db");
    let (limits, tasks) = (db::Limits::default(), Tasks::default());
    let db = Db::open(&path, MIGRATIONS, &limits, &tasks).await;
    (db.unwrap(), home)
}

/// Somebody with an account of their own.
async fn somebody(db: &Db, email: &str) -> (UserId, AccountId) {
    let (id, account): (UserId, AccountId) = (chassis::mint(), chassis::mint());
    let row = person::NewRow {
        id,
        email: email.to_owned(),
        name: "Ann".to_owned(),
        password: Some("$x".to_owned()),
        operator: false,
        created_at: 1,
    };
    write!(db, c => {
        assert!(person::insert(c, row).await?);
        member::name_workspace(c, account, "Ann's", (1, None)).await?;
        member::join(c, (account, id), Role::Owner, 1).await?;
    });
    (id, account)
}

fn browser(person: UserId, account: AccountId, mac: u8) -> session::NewRow {
    session::NewRow {
        mac: [mac; 32],
        id: chassis::mint::<SessionKind>(),
        person,
        account,
        mode: Mode::Test,
        device: "Firefox on Linux".to_owned(),
        now: 10,
        ends_at: 100,
    }
}

#[tokio::test]
async fn browsers_are_signed_in_and_out() {
    let (db, _home) = open().await;
    let (ann, account) = somebody(&db, "ann@example.com").await;
    let reader = db.reader();
    let unopened = member::unopened(reader, 2, 10).await.unwrap();
    assert_eq!(unopened, [(account, "Ann's".to_owned(), ann)]);
    for mac in [1, 2, 3] {
        write!(db, c => session::insert(c, browser(ann, account, mac)).await?);
    }
    write!(db, c => {
        member::opened(c, account, 2).await?;
        session::seen(c, [2; 32], 20).await?;
        assert!(session::look_at(c, [2; 32], (account, Mode::Live)).await?);
        assert!(!session::look_at(c, [2; 32], (chassis::mint(), Mode::Live)).await?);
    });
    assert!(member::unopened(reader, 2, 10).await.unwrap().is_empty());
    let listed = session::of_person(reader, ann, (50, 5), 10).await.unwrap();
    let macs: Vec<u8> = listed.iter().map(|row| row.mac[0]).collect();
    assert_eq!(macs, [2, 1, 3], "the one used last first");
    let last = listed[2].id;
    write!(db, c => {
        assert!(!session::end(c, chassis::mint(), last).await?, "another's");
        assert!(session::end(c, ann, last).await?);
        session::end_all(c, ann, Some([2; 32])).await?;
    });
    assert!(session::find(reader, [1; 32]).await.unwrap().is_none());
    let found = session::find(reader, [2; 32]).await.unwrap().unwrap();
    assert_eq!(found.person.view.mode, Mode::Live);
    assert_eq!(write!(db, c => session::clear(c, 101, 0, 10).await?), 1);
}

#[tokio::test]
async fn links_work_once_and_for_a_time() {
    let (db, _home) = open().await;
    let (ann, _) = somebody(&db, "ann@example.com").await;
    let reader = db.reader();
    let row = move |mac: u8| token::NewRow {
        mac: [mac; 32],
        purpose: token::Purpose::Reset,
        person: ann,
        email: "ann@example.com".to_owned(),
        ends_at: 100,
    };
    let reset = |mac: u8| ([mac; 32], token::Purpose::Reset);
    write!(db, c => {
        token::insert(c, row(1)).await?;
        token::insert(c, row(2)).await?;
        assert!(token::take(c, reset(1), 50).await?.is_none(), "the later one is good");
        assert!(token::take(c, reset(2), 100).await?.is_none(), "its time is over");
    });
    assert_eq!(token::find(reader, reset(2), 50).await.unwrap(), Some(ann));
    write!(db, c => {
        let taken = token::take(c, reset(2), 50).await?;
        assert_eq!(taken, Some((ann, "ann@example.com".to_owned())));
        assert!(token::take(c, reset(2), 50).await?.is_none());
        assert!(token::spend(c, [9; 32], 100).await? && !token::spend(c, [9; 32], 100).await?);
        assert!(person::confirm(c, (ann, "ann@example.com".to_owned()), 5).await?);
        assert!(!person::confirm(c, (ann, "other@example.com".to_owned()), 5).await?);
        person::rename(c, ann, "Anna".to_owned()).await?;
        person::set_password(c, ann, "$y".to_owned()).await?;
        assert_eq!(token::clear(c, 100).await?, 1);
    });
    somebody(&db, "bob@example.com").await;
    write!(db, c => {
        assert!(!person::readdress(c, ann, "bob@example.com").await?);
        assert!(person::readdress(c, ann, "anna@example.com").await?);
    });
    let known = person::by_email(reader, "anna@example.com").await.unwrap();
    assert_eq!(known.unwrap().password.as_deref(), Some("$y"));
    assert!(person::operator(reader).await.unwrap().is_none());
}

#[tokio::test]
async fn accounts_have_owners_and_forget_whoever_has_no_other() {
    let (db, _home) = open().await;
    let (ann, account) = somebody(&db, "ann@example.com").await;
    let (bob, bobs) = somebody(&db, "bob@example.com").await;
    let reader = db.reader();
    let invite = |email: &str| token::Invite {
        id: chassis::mint::<InviteKind>(),
        account,
        email: email.to_owned(),
        role: Role::Member,
        ends_at: 100,
    };
    let (first, second) = (invite("bob@example.com"), invite("bob@example.com"));
    write!(db, c => {
        token::invite(c, [1; 32], first, 1).await?;
        token::invite(c, [2; 32], second, 1).await?;
        assert!(token::take_invite(c, ([1; 32], "bob@example.com"), 2).await?.is_none());
        assert!(token::take_invite(c, ([2; 32], "eve@example.com"), 2).await?.is_none());
    });
    let open = token::invites(reader, account, 2).await.unwrap();
    let id = open[0].id;
    assert!(token::invited(reader, [2; 32], 2).await.unwrap().is_some());
    write!(db, c => {
        assert!(token::uninvite(c, bobs, id).await?.is_none(), "another's");
        let taken = token::take_invite(c, ([2; 32], "bob@example.com"), 2).await?;
        member::join(c, (account, bob), taken.unwrap().role, 2).await?;
        assert_eq!(member::lock_owners(c, account).await?, 1);
        assert_eq!(member::role(c, (account, bob)).await?, Some(Role::Member));
        act::note(c, (account, bob), ("member.join", "member".to_owned()), 2).await?;
        member::rename(c, account, "Acme").await?;
    });
    let used = member::of_person(reader, bob).await.unwrap();
    let names: Vec<&str> = used.iter().map(|used| used.name.as_str()).collect();
    assert_eq!(names, ["Ann's", "Acme"]);
    assert_eq!(member::of_account(reader, account).await.unwrap().len(), 2);
    let acts = act::of_account(reader, account, None, 10).await.unwrap();
    assert_eq!((acts.len(), acts[0].what.as_str()), (1, "member.join"));
    let older = act::of_account(reader, account, Some(acts[0].id), 10).await;
    assert!(older.unwrap().is_empty());
    // Bob has an account of his own and stays; Ann goes with hers.
    write!(db, c => member::forget(c, account).await?);
    assert!(person::by_id(reader, ann).await.unwrap().is_none());
    assert!(person::by_id(reader, bob).await.unwrap().is_some());
    assert_eq!(member::name(reader, account).await.unwrap(), "");
    write!(db, c => {
        member::forget_alone(c, bob).await?;
        assert!(member::leave(c, (bobs, bob)).await?);
        session::end_at(c, bob, bobs).await?;
        member::forget_alone(c, bob).await?;
        assert_eq!(act::clear(c, i64::MAX, 10).await?, 0);
    });
    assert!(person::by_id(reader, bob).await.unwrap().is_none());
}

#[tokio::test]
async fn sign_ups_are_counted_to_their_most() {
    let (db, _home) = open().await;
    let counted = write!(db, c => {
        let mut counted = Vec::new();
        for network in [1_u8, 1, 1, 2] {
            counted.push(sign_up::count(c, [network; 32], 100, 2).await?);
        }
        counted
    });
    assert_eq!(counted, [true, true, false, true]);
    assert_eq!(write!(db, c => sign_up::clear(c, 100).await?), 2);
}

fn device(person: UserId, credential: u8) -> passkey::NewRow {
    passkey::NewRow {
        id: chassis::mint::<PasskeyKind>(),
        credential: vec![credential; 16],
        person,
        name: format!("device {credential}"),
        public_key: "{}".to_owned(),
        now: i64::from(credential),
    }
}

#[tokio::test]
async fn passkeys_are_their_persons_and_end_with_them() {
    let (db, _home) = open().await;
    let (ann, account) = somebody(&db, "ann@example.com").await;
    let (bob, _) = somebody(&db, "bob@example.com").await;
    let reader = db.reader();
    let added = write!(db, c => {
        let mut added = Vec::new();
        for row in [device(ann, 1), device(bob, 1), device(ann, 2), device(ann, 3), device(chassis::mint(), 4)] {
            added.push(passkey::add(c, row, 2).await?);
        }
        added
    });
    let expected = [
        Added::Done,
        Added::Known,
        Added::Done,
        Added::TooMany,
        Added::Nobody,
    ];
    assert_eq!(added, expected);
    let found = passkey::find(reader, &[2; 16]).await.unwrap().unwrap();
    assert_eq!((found.person, found.name.as_str()), (ann, "device 2"));
    let id = found.id;
    for (counter, goes_on) in [
        (0, true),
        (0, true),
        (5, true),
        (5, false),
        (4, false),
        (6, true),
    ] {
        let used = write!(db, c => passkey::used(c, id, ("{}".to_owned(), counter), 7).await?);
        assert_eq!(used, goes_on, "{counter}");
    }
    let listed = passkey::of_account(reader, account).await.unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|row| (row.name.as_str(), row.used_at))
        .collect();
    assert_eq!(listed, [("device 1", None), ("device 2", Some(7))]);
    // Whoever has a password comes in without any.
    for (who, removed) in [
        (bob, Removed::Unknown),
        (ann, Removed::Done("device 1".to_owned())),
        (ann, Removed::Done("device 2".to_owned())),
    ] {
        let id = passkey::of_person(reader, ann).await.unwrap()[0].id;
        assert_eq!(write!(db, c => passkey::remove(c, who, id).await?), removed);
    }
    write!(db, c => {
        passkey::add(c, device(ann, 5), 2).await?;
        passkey::add(c, device(bob, 6), 2).await?;
        member::forget(c, account).await?;
    });
    assert!(passkey::find(reader, &[5; 16]).await.unwrap().is_none());
    assert!(passkey::find(reader, &[6; 16]).await.unwrap().is_some());
}

#[tokio::test]
async fn devices_are_asked_once_and_for_a_time() {
    let (db, _home) = open().await;
    write!(db, c => {
        for (mac, ends_at) in [(1, 100), (1, 200), (2, 100), (3, 300)] {
            passkey::ask(c, ([mac; 32], format!("until {ends_at}")), ends_at).await?;
        }
        let asked = passkey::asked(c, [1; 32], 150).await?;
        assert_eq!(asked.as_deref(), Some("until 200"), "what was asked last");
        assert!(passkey::asked(c, [1; 32], 150).await?.is_none(), "once");
        assert!(passkey::asked(c, [2; 32], 100).await?.is_none(), "its time is over");
        assert_eq!(passkey::clear(c, 200).await?, 1);
        assert!(passkey::asked(c, [3; 32], 200).await?.is_some());
    });
}

#[tokio::test]
async fn a_form_is_begun_once_and_answered_until_its_end() {
    let (db, _home) = open().await;
    let (reader, form, browser) = (db.reader(), [1; 32], [9; 32]);
    let begin = async |mac: [u8; 32], now: i64, ends_at: i64| write!(db, c => sent_form::begin(c, (mac, browser), (now, ends_at), 2).await?);
    assert!(begin(form, 1, 100).await);
    assert!(!begin(form, 2, 200).await, "it is worked on");
    let found = async |now| sent_form::find(reader, form, now).await.unwrap();
    assert_eq!(found(2).await, Sent::Open);
    write!(db, c => sent_form::answered(c, form, b"sealed".to_vec()).await?);
    assert!(!begin(form, 3, 200).await, "it was answered");
    assert_eq!(found(99).await, Sent::Answered(b"sealed".to_vec()));
    assert_eq!(found(100).await, Sent::Never, "its time is over");
    assert!(begin(form, 100, 200).await);
    assert_eq!(
        found(101).await,
        Sent::Open,
        "of the answer nothing is left"
    );
    write!(db, c => sent_form::forget(c, form).await?);
    assert!(begin(form, 101, 201).await);
    // Two of a browser are kept.
    assert!(begin([2; 32], 102, 202).await && begin([3; 32], 103, 203).await);
    assert_eq!(found(103).await, Sent::Never);
    write!(db, c => sent_form::clear(c, 203).await?);
    let last = sent_form::find(reader, [3; 32], 104).await.unwrap();
    assert_eq!(last, Sent::Never);
}
