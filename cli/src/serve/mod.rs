//! Carrying requests for deployments out, where nobody is present: which repository a service comes from is the operator's to say, and
//! never the request's.

mod checkout;
mod desk;
mod repositories;

pub(crate) use desk::Desk;
pub(crate) use repositories::{Repositories, leads_out};
