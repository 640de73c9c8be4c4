//! redis_server
