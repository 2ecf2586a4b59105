//! `/settings`: the person, the account, who else may use it.

use crate::router::Row;

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[];
