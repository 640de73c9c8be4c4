//! redis_sessions
