//! aio.
fn main() {}
