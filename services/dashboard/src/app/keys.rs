//! `/keys`: API keys: made, limited, rotated, revoked.

use crate::router::Row;

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[];
