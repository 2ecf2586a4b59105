//! `/requests`: one line for each operation, with the arithmetic of its price.

use crate::router::Row;

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[];
