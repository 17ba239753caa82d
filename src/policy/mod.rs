//! What a user writes, as text.
