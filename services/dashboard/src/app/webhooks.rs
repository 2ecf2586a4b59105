//! `/webhooks`: endpoints, and what was delivered to them.

use crate::router::Row;

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[];
