//! WebSocket frames, as a client that counts needs them: found, not interpreted.
//!
//! Source: RFC 6455, section 5.2.

/// Text, whole.
pub const TEXT: u8 = 0x1;
/// The peer ends the connection.
pub const CLOSE: u8 = 0x8;
/// The peer asks for a pong.
pub const PING: u8 = 0x9;
/// The answer to a ping.
pub const PONG: u8 = 0xA;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Nothing that a fan-out sends is longer.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Finds the frames in what comes. Keeps nothing but a frame that has not come whole.
#[derive(Debug, Default)]
pub struct Frames {
    partial: Vec<u8>,
}

impl Frames {
    /// Calls `each` with opcode and content of every frame that is whole now.
    ///
    /// # Errors
    /// A frame that a server must not send, in a few words.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(u8, &[u8])) -> Result<(), &'static str> {
        if self.partial.is_empty() {
            let rest = walk(bytes, &mut each)?;
            if !rest.is_empty() {
                self.partial.extend_from_slice(rest);
            }
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let rest = walk(&self.partial, &mut each)?.len();
        let done = self.partial.len() - rest;
        if rest == 0 {
            self.partial = Vec::new();
        } else {
            self.partial.drain(..done);
        }
        Ok(())
    }
}

/// Gives what is left when there is no whole frame any more.
fn walk<'a>(mut bytes: &'a [u8], each: &mut impl FnMut(u8, &[u8])) -> Result<&'a [u8], &'static str> {
    loop {
        let [first, second, after @ ..] = bytes else { return Ok(bytes) };
        let (length, after) = match second {
            126 => match after.split_first_chunk() {
                Some((length, after)) => (usize::from(u16::from_be_bytes(*length)), after),
                None => return Ok(bytes),
            },
            127 => match after.split_first_chunk() {
                Some((length, after)) => (u64::from_be_bytes(*length) as usize, after),
                None => return Ok(bytes),
            },
            128.. => return Err("a masked frame from the server"),
            length => (usize::from(*length), after),
        };
        if first & FINAL == 0 || length > MOST_BYTES {
            return Err("a frame in fragments, or one too long");
        }
        let Some((content, after)) = after.split_at_checked(length) else { return Ok(bytes) };
        each(first & 0x0F, content);
        bytes = after;
    }
}

/// Writes a frame behind what is in `into`.
///
/// It is masked with zeros, which changes nothing: the mask protects proxies from web pages, and here is neither.
pub fn write(opcode: u8, content: &[u8], into: &mut Vec<u8>) {
    into.push(FINAL | opcode);
    if let Ok(short) = u8::try_from(content.len())
        && short < 126
    {
        into.push(MASKED | short);
    } else if let Ok(medium) = u16::try_from(content.len()) {
        into.push(MASKED | 0x7E);
        into.extend_from_slice(&medium.to_be_bytes());
    } else {
        into.push(MASKED | 0x7F);
        into.extend_from_slice(&(content.len() as u64).to_be_bytes());
    }
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(chunks: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for chunk in chunks {
            frames.feed(chunk, |opcode, content| found.push((opcode, content.to_vec()))).unwrap();
        }
        assert!(frames.partial.is_empty(), "{:?}", frames.partial);
        found
    }

    /// As a server sends it: without a mask.
    fn served(opcode: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write(opcode, content, &mut frame);
        let head = frame.len() - content.len() - 4;
        frame.drain(head..head + 4);
        frame[1] &= !MASKED;
        frame
    }

    #[test]
    fn frames_are_found_wherever_the_bytes_are_cut() {
        let long = vec![b'x'; 300];
        let bytes = [served(TEXT, b"2"), served(TEXT, &long), served(CLOSE, b"")].concat();
        let expected = [(TEXT, b"2".to_vec()), (TEXT, long), (CLOSE, Vec::new())];
        for cut in 0..=bytes.len() {
            assert_eq!(found(&[&bytes[..cut], &bytes[cut..]]), expected, "{cut}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(found(&single), expected);
    }

    #[test]
    fn each_length_is_read_as_it_was_written() {
        for length in [0, 125, 126, 65_535, 65_536, 100_000] {
            let content = vec![b'x'; length];
            assert_eq!(found(&[&served(TEXT, &content)]), [(TEXT, content)], "{length}");
        }
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        assert!(Frames::default().feed(&[0x81, 0x81, 0, 0, 0, 0, b'2'], |_, _| {}).is_err(), "masked");
        assert!(Frames::default().feed(&[0x01, 0x01, b'2'], |_, _| {}).is_err(), "a fragment");
        assert!(Frames::default().feed(&[0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0], |_, _| {}).is_err(), "endless");
    }
}
