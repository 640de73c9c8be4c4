//! Templates: texts with places for values. What a place shows is never taken for a part of the template.

/// What a value must be made harmless for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// For nothing: the result is plain text.
    Text,
    /// For the text and the attributes of HTML.
    Html,
}

/// The template with a value in each of its places: `{{name}}` shows it escaped, `{{&name}}` as it is, for what was made of a
/// template itself. A name without a value shows nothing.
pub fn fill(template: &str, escape: Escape, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, place, after)) = next_place(rest) {
        filled.push_str(before);
        let (name, is_raw) = place.strip_prefix('&').map_or((place, false), |name| (name, true));
        let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value);
        match escape {
            Escape::Html if !is_raw => push_html(&mut filled, value),
            Escape::Html | Escape::Text => filled.push_str(value),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (place, after) = rest.split_once("}}")?;
    Some((before, place, after))
}

/// Source: OWASP, Cross Site Scripting Prevention, output encoding for HTML.
fn push_html(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
}

/// The text on one line, cut to a number of characters, without what could break the line or turn the writing around.
pub fn one_line(text: &str, max_chars: usize) -> String {
    let mut line: String = text.chars().map(|c| if is_unfit(c) { ' ' } else { c }).take(max_chars + 1).collect();
    if line.chars().count() > max_chars {
        line.pop();
        line.push('…');
    }
    line.trim().to_owned()
}

/// Control characters, line and paragraph separators, and what changes the direction of the text after it (UAX #9).
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_filled_once_and_escaped() {
        let values = [("a", "<b>{{b}}</b>"), ("b", "\"'&")];
        assert_eq!(fill("1 {{a}} 2 {{b}}", Escape::Text, &values), "1 <b>{{b}}</b> 2 \"'&");
        assert_eq!(fill("1 {{a}} 2 {{b}}", Escape::Html, &values), "1 &lt;b&gt;{{b}}&lt;/b&gt; 2 &quot;&#39;&amp;");
        assert_eq!(fill("{{&a}}", Escape::Html, &values), "<b>{{b}}</b>");
    }

    #[test]
    fn what_is_no_place_stays_and_an_unknown_name_shows_nothing() {
        assert_eq!(fill("{a} {{open", Escape::Html, &[("a", "x")]), "{a} {{open");
        assert_eq!(fill("<{{c}}>", Escape::Html, &[("a", "x")]), "<>");
    }

    #[test]
    fn a_line_is_one_line_in_one_direction() {
        assert_eq!(one_line(" a\r\nb\u{2028}c\u{202e}d ", 80), "a  b c d");
        assert_eq!(one_line("abcdef", 3), "abc…");
    }

    proptest! {
        #[test]
        fn no_value_adds_markup(value in any::<String>()) {
            let html = fill("<p title=\"{{v}}\">{{v}}</p>", Escape::Html, &[("v", &value)]);
            let inner = &html[10..html.len() - 4];
            prop_assert!(html.starts_with("<p title=\"") && html.ends_with("</p>"));
            prop_assert_eq!(inner.matches(['<', '\'']).count(), 0);
            prop_assert_eq!(inner.matches(['"', '>']).count(), 2);
        }
    }
}
