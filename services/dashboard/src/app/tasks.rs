//! `/tasks`: media tasks: what they made, how they went.

use crate::router::Row;

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[];
