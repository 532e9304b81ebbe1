//! Engines that behave as no engine should, at a unix socket or in place of `ctr`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ctr;
mod docker;
mod load;
mod search;
mod ssh;
