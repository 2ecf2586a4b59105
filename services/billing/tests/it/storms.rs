//! Small storms, of twenty thousand operations; `cargo xtask chaos storm` makes large ones.

use db::Engine;

use crate::{house::on_both_engines, storm::storm};

on_both_engines!(threads: twenty_thousand_operations_leave_no_trace_of_doubt);

async fn twenty_thousand_operations_leave_no_trace_of_doubt(engine: Engine) {
    let report = storm(engine, 20_000, 1).await;
    assert!(report.is_good(), "{report:#?}");
    assert_eq!(report.killed > 0, engine == Engine::Postgres);
}
