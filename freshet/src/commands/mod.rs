//! One module a subject of the command line.

pub(crate) mod apply;
pub(crate) mod infer;
pub(crate) mod keys;
pub(crate) mod maintain;
pub(crate) mod profile;
pub(crate) mod runs;
pub(crate) mod sample;
pub(crate) mod send;
pub(crate) mod show;
pub(crate) mod sql;
pub(crate) mod up;
