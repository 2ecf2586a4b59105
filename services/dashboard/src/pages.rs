//! The pages, one file each. A file says what its page is asked for and what its templates are given.

pub(crate) mod compare;
pub(crate) mod docs;
pub(crate) mod landing;
pub(crate) mod lost;
pub(crate) mod model;
pub(crate) mod models;
pub(crate) mod pricing;
pub(crate) mod texts;
