//! redis_wire
