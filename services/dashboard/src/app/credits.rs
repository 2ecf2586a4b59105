//! `/credits`: what credit there is, how it is bought, and where it went.

use crate::router::Row;

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[];
