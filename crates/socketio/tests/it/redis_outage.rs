//! redis_outage
