//! The servers that tests use: started, used, killed, started again, and gone afterwards.

mod gone;
mod postgres;
mod rabbit;
mod redis;
