//! What end-to-end tests and the demo need beside the programs themselves.

pub mod load;
