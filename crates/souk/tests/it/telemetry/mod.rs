//! What a checkout leaves in logs, traces and metrics, as those see it who get them: spans from a receiver of OTLP, lines from
//! the output of the process, metrics from its internal port.

mod canary;
mod catalogue;
mod checkout;
mod collector;
mod life;
mod lines;
pub(crate) mod otlp;
mod propagation;
mod resumed;
mod scrape;
mod shop;
pub(crate) mod spans;
