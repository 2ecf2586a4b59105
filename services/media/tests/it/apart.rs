//! A process of media that can be killed or frozen.

use crate::house::{House, Running};

/// A process with threads of its own.
pub(crate) struct Apart {
    pub(crate) running: Running,
    runtime: Option<tokio::runtime::Runtime>,
}

/// A process that stands still until this is dropped.
pub(crate) struct Frozen {
    _thaw: std::sync::mpsc::Sender<()>,
}

impl Apart {
    /// At once, whatever it is at.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// As SIGSTOP does: its one thread stands still.
    pub(crate) fn freeze(&self) -> Frozen {
        let (thaw, thawed) = std::sync::mpsc::channel::<()>();
        let (stands, stand) = std::sync::mpsc::channel();
        self.runtime.as_ref().unwrap().spawn(async move {
            stands.send(()).unwrap();
            let _ = thawed.recv();
        });
        stand.recv().unwrap();
        Frozen { _thaw: thaw }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.kill();
    }
}

impl House {
    /// A process with threads of its own, which can be killed or frozen without ours.
    pub(crate) async fn start_apart(&self) -> Apart {
        let origin = self.provider.origin();
        self.start_apart_with_sandbox(Some(origin)).await
    }

    pub(crate) async fn start_apart_with_sandbox(&self, origin: Option<String>) -> Apart {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let house = self.clone();
        let handle = runtime.handle().clone();
        let running =
            runtime.spawn_blocking(move || handle.block_on(house.start_with_sandbox(origin)));
        Apart {
            running: running.await.unwrap(),
            runtime: Some(runtime),
        }
    }
}
