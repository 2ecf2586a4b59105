//! The shared state is gone: limits are not counted, looks go to media, and nothing else changes.

use std::{sync::Arc, time::Duration};

use domain::TaskId;
use futures::{StreamExt as _, stream, stream::BoxStream};
use live::{Admission, Error, Live, Notice, Rate, TaskSnapshot};

use crate::house::{House, read};

struct Broken;

#[tonic::async_trait]
impl Live for Broken {
    async fn put_task(&self, _snapshot: TaskSnapshot) -> Result<bool, Error> {
        Err(Error::Unavailable)
    }

    async fn get_task(&self, _task: TaskId) -> Result<Option<TaskSnapshot>, Error> {
        Err(Error::Unavailable)
    }

    async fn wait_task(
        &self,
        _task: TaskId,
        _after_version: i64,
        _timeout: Duration,
    ) -> Result<Option<TaskSnapshot>, Error> {
        Err(Error::Unavailable)
    }

    async fn admit(&self, _key: &str, _rate: Rate) -> Result<Admission, Error> {
        Err(Error::Unavailable)
    }

    async fn uncount(&self, _key: &str, _rate: Rate) -> Result<(), Error> {
        Err(Error::Unavailable)
    }

    async fn take_slot(
        &self,
        _key: &str,
        _slot: [u8; 16],
        _limit: u32,
        _life: Duration,
    ) -> Result<bool, Error> {
        Err(Error::Unavailable)
    }

    async fn give_slot(&self, _key: &str, _slot: [u8; 16]) -> Result<(), Error> {
        Err(Error::Unavailable)
    }

    async fn notify(&self, _notice: Notice) -> Result<(), Error> {
        Err(Error::Unavailable)
    }

    fn notices(&self) -> BoxStream<'static, Notice> {
        stream::empty().boxed()
    }
}

#[tokio::test]
async fn nothing_but_limits_depends_on_it() {
    let house = House::over(Arc::new(Broken), "limits.streams.poll = '20ms'").await;
    let key = house.key(&domain::Scope::ALL);
    assert_eq!(read(house.chat(&key, "{}")).await.0, 200);
    let metrics = chassis::telemetry::metrics_text(&house.registry);
    // Its rate and its slot.
    assert!(
        metrics.contains("aio_edge_uncounted_requests_total 2\n"),
        "{metrics}"
    );
    let task = house.task();
    assert_eq!(
        read(house.get(&format!("/v1/tasks/{task}"), &key)).await.0,
        200
    );
    let path = format!("/api/v1/tasks/{task}/events");
    let mut answer = house.get(&path, &key).send().await.unwrap();
    assert!(
        answer
            .chunk()
            .await
            .unwrap()
            .unwrap()
            .starts_with(b"event: task\nid: 1\n")
    );
    let mut ended = house.snapshot(task);
    (ended.version, ended.terminal) = (2, true);
    house.world.tasks.lock().unwrap().insert(task, ended);
    let rest = answer.text().await.unwrap();
    assert!(rest.contains("event: task\nid: 2\n"), "{rest}");
    let key_id = chassis::mint::<domain::ids::Key>();
    let path = format!("/api/v1/admin/keys/{key_id}");
    let revoke = house
        .request(reqwest::Method::DELETE, &path)
        .bearer_auth(&key);
    assert_eq!(read(revoke).await.0, 200);
}
