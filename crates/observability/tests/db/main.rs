//! Calls to stores, as collectors, scrapes and logs see them. One binary of its own: the tracer, the registry and the
//! subscriber are the process's.

mod calls;
mod collector;
mod cost;
mod lines;
mod pools;
