//! Names that all nodes of a cluster agree on.

use super::options::Options;

/// The stream that carries this namespace.
///
/// With more than one stream, the hash may be negative and the name then has two hyphens: the original writes to such
/// streams and reads none of them; here they are read too.
/// Source: `computeStreamName` and `hashCode` in @socket.io/redis-streams-adapter 0.3.1
pub(super) fn stream_of(namespace: &str, options: &Options) -> String {
    if options.stream_count == 1 {
        return options.stream_name.clone();
    }
    let hash = namespace.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    format!("{}-{}", options.stream_name, i64::from(hash) % i64::from(options.stream_count))
}

/// Where requests to all nodes go.
pub(super) fn public_channel(namespace: &str, options: &Options) -> String {
    format!("{}#{namespace}#", options.channel_prefix)
}

/// Where answers to one node go.
pub(super) fn private_channel(namespace: &str, uid: &str, options: &Options) -> String {
    format!("{}#{namespace}#{uid}#", options.channel_prefix)
}

/// Where a session is kept.
pub(super) fn session_key(pid: &str, options: &Options) -> String {
    format!("{}{pid}", options.session_key_prefix)
}

/// Eight random bytes in hexadecimal, as the original names nodes and requests.
pub(super) fn random_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_as_by_the_original() {
        let mut options = Options { stream_name: "s".to_owned(), ..Options::default() };
        assert_eq!(stream_of("/anything", &options), "s");
        options.stream_count = 7;
        // By the original's own hashCode(namespace) % 7, in Node.
        for (namespace, stream) in
            [("/", "s-5"), ("/chat", "s-4"), ("/é😀", "s-1"), ("/notifications", "s--1"), ("/dashboard", "s--6")]
        {
            assert_eq!(stream_of(namespace, &options), stream, "{namespace}");
        }
    }
}
