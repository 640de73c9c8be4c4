//! redis_cluster
