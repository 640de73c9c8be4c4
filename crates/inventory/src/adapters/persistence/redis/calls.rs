//! Questions to Redis, as telemetry tells of them.

use observability::db::{Fault, StoreFault};
use redis::{Arg, Cmd, ErrorKind, RedisError, ServerErrorKind};

/// The commands that this adapter sends; any other is `OTHER`, so that names stay few.
const COMMANDS: [&str; 10] =
    ["CONFIG", "GET", "HGETALL", "SET", "XRANGE", "XREVRANGE", "ZCARD", "ZRANGE", "ZRANGEBYLEX", "ZRANGEBYSCORE"];

/// The command's own name: the operation of it. Its arguments are keys and values.
pub(super) fn name_of(command: &Cmd) -> &'static str {
    let name = match command.args_iter().next() {
        Some(Arg::Simple(name)) => name,
        _ => b"",
    };
    COMMANDS.into_iter().find(|known| known.as_bytes() == name).unwrap_or("OTHER")
}

/// An error of the driver, on its way to telemetry.
pub(super) struct Failed(pub(super) RedisError);

impl StoreFault for Failed {
    fn fault(&self) -> Option<Fault<'_>> {
        // Not the server's words: they may quote what was written.
        let why = match self.0.code() {
            Some(code) => format!("Redis answered {code}"),
            None => format!("{:?}", self.0.kind()),
        };
        Some(Fault::new(kind(&self.0), why).with_status(self.0.code()))
    }
}

fn kind(error: &RedisError) -> &'static str {
    if error.is_timeout() {
        return "timeout";
    }
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => "corrupt",
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading) => "unavailable",
        ErrorKind::Server(_) | ErrorKind::Extension => "refused",
        _ => "unavailable",
    }
}
