//! `/playground`: every model tried in the browser, with its price before and its output in place.

use crate::router::Row;

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[];
