//! While the queue is away: tasks are accepted, and go on at a lower rate, straight from the database.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use db::Engine;
use queue::{Delivery, Error, Queue, memory::MemoryQueue};
use serde_json::json;

use crate::{
    database::on_both_engines,
    house::{House, eventually},
};

on_both_engines!(
    tasks_go_on_without_a_queue,
    before_its_time_nothing_is_taken_without_the_bell,
);

/// A queue whose broker can be away.
struct Switched {
    queue: MemoryQueue,
    away: AtomicBool,
}

impl Switched {
    fn away() -> Arc<Self> {
        Arc::new(Self {
            queue: MemoryQueue::new(1000),
            away: AtomicBool::new(true),
        })
    }

    fn come_back(&self) {
        self.away.store(false, Ordering::SeqCst);
    }
}

#[async_trait]
impl Queue for Switched {
    async fn publish(&self, topic: &str, id: [u8; 16]) -> Result<(), Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::Unavailable);
        }
        self.queue.publish(topic, id).await
    }

    async fn receive(&self, topic: &str) -> Result<Delivery, Error> {
        self.queue.receive(topic).await
    }

    fn is_available(&self) -> bool {
        !self.away.load(Ordering::SeqCst)
    }
}

async fn tasks_go_on_without_a_queue(engine: Engine) {
    let queue = Switched::away();
    let shared: queue::SharedQueue = queue.clone();
    let house = House::new(engine, vec![])
        .await
        .with_queue(shared)
        .with_fallback("after = '100ms'\nevery = '20ms'");
    let running = house.start().await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.push(running.accepted().await);
    }
    for task in &tasks {
        running.reaches(*task, "completed").await;
    }
    queue.come_back();
    tasks.push(running.accepted().await);
    let last = tasks[20];
    running.reaches(last, "completed").await;
    // Every bell that waited has rung by now, and nobody was there any more.
    eventually("the outbox is empty", async || {
        let left: i64 = sqlx::query_scalar("select count(*) from outbox")
            .fetch_one(running.db.reader())
            .await
            .unwrap();
        left == 0
    })
    .await;
    for task in &tasks {
        let view = running.view(*task).await.unwrap();
        assert_eq!(view["attempts"], 1);
        assert_eq!(house.billing.settled(&task.to_bytes()), [5_000_000]);
    }
    assert_eq!(house.provider.submits().len(), 21);
}

async fn before_its_time_nothing_is_taken_without_the_bell(engine: Engine) {
    let queue = Switched::away();
    let shared: queue::SharedQueue = queue.clone();
    let house = House::new(engine, vec![])
        .await
        .with_queue(shared)
        .with_fallback("after = '1h'\nevery = '1ms'");
    let running = house.start().await;
    let task = running.accepted().await;
    assert_eq!(running.view(task).await.unwrap()["status"], json!("queued"));
    queue.come_back();
    running.reaches(task, "completed").await;
    assert_eq!(house.provider.submits().len(), 1);
}
