//! `/operator`: what operators see and do.

use crate::router::Row;

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[];
