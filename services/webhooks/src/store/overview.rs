//! What operators see of all deliveries together; an index holds those of each state, and nothing else.

/// Deliveries that wait for an attempt.
pub(crate) const DUE: &str = "select created_at as at from delivery where state = 'due'";
/// Attempts that are under way.
pub(crate) const INFLIGHT: &str = "select created_at as at from delivery where state = 'inflight'";
/// Deliveries that were given up.
pub(crate) const DEAD: &str =
    "select created_at as at from delivery where state = 'dead' order by id";
/// Endpoints that are told nothing; their moment is when that began.
pub(crate) const DISABLED: &str =
    "select disabled_at as at from endpoint where disabled_at is not null order by id";
