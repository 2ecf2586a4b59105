//! The black-box suite: the real program, spoken to by HTTP alone. Everything is in `tests/it`; nothing here is shipped.
