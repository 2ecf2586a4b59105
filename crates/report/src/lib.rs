//! What the reports of the benchmarks and of the fault matrix are made with: facts about the machine, curves and bars as SVG, a page of
//! HTML from Markdown, and the few sums that a verdict needs. Nothing that is shipped contains it.
#![expect(
    clippy::float_arithmetic,
    reason = "statistics and drawings: no money is computed here"
)]

mod bars;
mod machine;
mod page;
mod plot;
mod sums;

pub use bars::Bars;
pub use machine::Machine;
pub use page::html;
pub use plot::{Axis, Plot, Scale, Series};
pub use sums::{median, number, per_second, slope};
