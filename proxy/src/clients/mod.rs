//! The side of the clients: their connections, and who they are.
//!
//! A [`listener`] accepts a connection and hands it to a [`worker`], which serves it as a [`client_connection`]; hyper is given no
//! more of it than [`single`] lets through. What a proxy in front of this one says of its [`client`] counts where there is [`trust`]
//! in it, and so does the client that it announces by the PROXY protocol ([`announcement`], [`proxy_protocol`]).

mod announcement;
mod client;
mod client_connection;
mod listener;
pub(crate) mod proxy_protocol;
mod single;
mod trust;
mod worker;

pub(crate) use client::Client;
pub(crate) use listener::Listener;
pub(crate) use trust::Trust;
pub(crate) use worker::{Orders, Worker};
