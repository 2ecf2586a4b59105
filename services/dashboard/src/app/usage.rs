//! `/usage`: what was spent, by model, key and day.

use crate::router::Row;

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[];
