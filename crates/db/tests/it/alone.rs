//! Sweeps that run once among all processes.

use std::time::Duration;

use testkit::eventually;
use tokio::time::Instant;

use crate::house::{House, on_both_engines};

on_both_engines!(
    a_sweep_does_not_run_beside_itself,
    a_sweep_that_is_dropped_frees_its_name,
);

async fn a_sweep_does_not_run_beside_itself(house: House) {
    let (one, two) = (house.db.clone(), house.another().await);
    let ran = one
        .alone("tidy", async || {
            assert_eq!(one.alone("tidy", async || ()).await.unwrap(), None);
            assert_eq!(two.alone("tidy", async || ()).await.unwrap(), None);
            two.alone("other", async || 5).await.unwrap()
        })
        .await;
    assert_eq!(ran.unwrap(), Some(Some(5)));
    assert_eq!(two.alone("tidy", async || 6).await.unwrap(), Some(6));
    assert_eq!(one.alone("tidy", async || 7).await.unwrap(), Some(7));
}

async fn a_sweep_that_is_dropped_frees_its_name(house: House) {
    let (one, two) = (house.db.clone(), house.another().await);
    let started = tokio::sync::Notify::new();
    let sweep = one.alone("tidy", async || {
        started.notify_one();
        std::future::pending::<()>().await;
    });
    tokio::select! {
        _ = sweep => panic!("it should hang"),
        () = started.notified() => {}
    }
    eventually("the name is free", async || {
        Ok(two.alone("tidy", async || ()).await?)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_lost_session_is_made_anew() {
    let mut house = House::postgres().await;
    let db = house.db.clone();
    assert_eq!(db.alone("tidy", async || 1).await.unwrap(), Some(1));
    let ended: i64 = sqlx::query_scalar(
        // And waits until they are gone.
        "select count(*) filter (where pg_terminate_backend(pid, 10000)) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .fetch_one(&mut house.server().look().await)
    .await
    .unwrap();
    assert!(ended > 0);
    assert_eq!(db.alone("tidy", async || 2).await.unwrap(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stands_still_in_a_sweep_is_not_waited_for_long() {
    const PATIENCE: Duration = Duration::from_millis(300);
    let house = House::postgres().await;
    let (one, two) = (house.db.clone(), house.another().await);
    one.alone("tidy", async || {
        let begun = Instant::now();
        let refused = two.alone_within("tidy", PATIENCE, async || ()).await;
        assert_eq!(refused.unwrap(), None);
        eventually("the other one loses its patience", async || {
            Ok(two.alone_within("tidy", PATIENCE, async || ()).await?)
        })
        .await
        .unwrap();
        assert!(begun.elapsed() >= PATIENCE);
        // Whoever has more of it is refused still.
        assert_eq!(two.alone("tidy", async || ()).await.unwrap(), None);
        // In one process nobody stands still by himself.
        let here = one.alone_within("tidy", Duration::ZERO, async || ()).await;
        assert_eq!(here.unwrap(), None);
    })
    .await
    .unwrap();
    // The lock was free meanwhile: patience begins anew.
    assert_eq!(two.alone("tidy", async || 1).await.unwrap(), Some(1));
    one.alone("tidy", async || {
        let refused = two.alone_within("tidy", PATIENCE, async || ()).await;
        assert_eq!(refused.unwrap(), None);
    })
    .await
    .unwrap();
}
