//! Values to arguments: JSON with placeholders, binary data beside it.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde_json::ser::Formatter;

use super::shape::{self, Shape};

/// Writes `["name",…]`, or `[…]` without a name.
pub(super) fn arguments<T: Serialize + ?Sized>(
    name: Option<&str>,
    value: &T,
) -> Result<(String, Vec<Bytes>), serde_json::Error> {
    let mut out = Vec::with_capacity(128);
    let mut attachments = Vec::new();
    out.push(b'[');
    if let Some(name) = name {
        serde_json::to_writer(&mut out, name)?;
    }
    let start = out.len();
    match shape::of_value(value) {
        Shape::None => {}
        Shape::One => {
            if name.is_some() {
                out.push(b',');
            }
            write(value, &mut out, &mut attachments)?;
        }
        // The tuple writes its own brackets: the first one makes room for the comma, the last one ends the arguments.
        Shape::Several => {
            write(value, &mut out, &mut attachments)?;
            out.pop();
            if name.is_some() && out.len() > start + 1 {
                out[start] = b',';
            } else {
                out.remove(start);
            }
        }
    }
    out.push(b']');
    Ok((String::from_utf8(out).expect("serde_json writes UTF-8"), attachments))
}

fn write<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    attachments: &mut Vec<Bytes>,
) -> Result<(), serde_json::Error> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Attaching { attachments }))
}

/// Compact JSON, but bytes are put aside and leave a placeholder.
struct Attaching<'a> {
    attachments: &'a mut Vec<Bytes>,
}

impl Formatter for Attaching<'_> {
    fn write_byte_array<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        write!(writer, r#"{{"_placeholder":true,"num":{}}}"#, self.attachments.len())?;
        self.attachments.push(Bytes::copy_from_slice(value));
        Ok(())
    }
}
