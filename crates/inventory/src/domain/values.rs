//! The values that a product is made of, parsed once.

use contracts::Money;
use contracts::values::{InvalidText, parse_text};

/// Most characters of a name.
pub const MAX_NAME: usize = 200;
/// Most characters of a description.
pub const MAX_DESCRIPTION: usize = 4000;
/// Most characters of an image's address.
pub const MAX_IMAGE_URL: usize = 2000;
/// Most tags of a product.
pub const MAX_TAGS: usize = 20;
/// Most characters of a tag.
pub const MAX_TAG: usize = 40;
/// Most units of one product on hand: far beyond any shelf, and far from where sums would overflow.
pub const MAX_UNITS: u64 = 1_000_000_000;

/// Why a value was refused; worded to follow the name of its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// Too short, too long, or with characters that text does not have.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// A name of more than one line.
    #[error("must be a single line")]
    SeveralLines,
    /// A price below zero.
    #[error("must not be negative")]
    NegativePrice,
    /// Neither on this site nor secure.
    #[error("must be empty, or at most {MAX_IMAGE_URL} characters that begin with https:// or /, without white space")]
    ImageUrl,
    /// Not a tag.
    #[error("must be 1 to {MAX_TAG} of a-z, 0-9 and '-'")]
    Tag,
    /// More than there may be.
    #[error("must be at most {MAX_TAGS} tags")]
    TooManyTags,
    /// More than any shelf holds.
    #[error("must be at most {MAX_UNITS} units")]
    TooManyUnits,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// What was parsed before it was stored.
            pub fn from_stored(text: String) -> Self {
                Self(text)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text! {
    /// What a product is called: 1 to [`MAX_NAME`] characters in one line.
    ProductName
}
text! {
    /// What a product is: at most [`MAX_DESCRIPTION`] characters.
    Description
}
text! {
    /// Where a picture of a product is: empty, `https://…`, or a path of this site.
    ImageUrl
}
text! {
    /// One word by which products are found: 1 to [`MAX_TAG`] of `a-z 0-9 -`.
    Tag
}

impl ProductName {
    /// Parses a name; white space around it is cut.
    ///
    /// # Errors
    /// [`InvalidValue::Text`], [`InvalidValue::SeveralLines`].
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let text = parse_text(text, 1, MAX_NAME)?;
        if text.contains(char::is_control) {
            return Err(InvalidValue::SeveralLines);
        }
        Ok(Self(text))
    }
}

impl Description {
    /// Parses a description; white space around it is cut.
    ///
    /// # Errors
    /// [`InvalidValue::Text`].
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        Ok(Self(parse_text(text, 0, MAX_DESCRIPTION)?))
    }
}

impl ImageUrl {
    /// Parses an address.
    ///
    /// # Errors
    /// [`InvalidValue::ImageUrl`], also for `//host` and `/\host`, which browsers take for another site.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let on_this_site = text.starts_with('/') && !text.starts_with("//");
        let secure = text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let plain =
            !text.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '"' | '<' | '>'));
        // A character takes at most four bytes: cheap refusal before counting.
        let short = text.len() <= MAX_IMAGE_URL * 4 && text.chars().count() <= MAX_IMAGE_URL;
        if short && plain && (text.is_empty() || on_this_site || secure) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidValue::ImageUrl)
        }
    }
}

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    /// [`InvalidValue::Tag`].
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if plain && (1..=MAX_TAG).contains(&text.len()) { Ok(Self(text.to_owned())) } else { Err(InvalidValue::Tag) }
    }
}

/// The tags of a product: at most [`MAX_TAGS`], each once, in the order given.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// Gathers tags; repeated ones count once.
    ///
    /// # Errors
    /// [`InvalidValue::TooManyTags`].
    pub fn new(tags: Vec<Tag>) -> Result<Self, InvalidValue> {
        let mut unique: Vec<Tag> = Vec::with_capacity(tags.len().min(MAX_TAGS));
        for tag in tags {
            if !unique.contains(&tag) {
                if unique.len() == MAX_TAGS {
                    return Err(InvalidValue::TooManyTags);
                }
                unique.push(tag);
            }
        }
        Ok(Self(unique))
    }

    /// The tags.
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }
}

/// What one unit costs: zero or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price(Money);

impl Price {
    /// A price.
    ///
    /// # Errors
    /// [`InvalidValue::NegativePrice`].
    pub fn new(money: Money) -> Result<Self, InvalidValue> {
        if money.amount_minor() < 0 { Err(InvalidValue::NegativePrice) } else { Ok(Self(money)) }
    }

    /// The amount.
    pub const fn money(self) -> Money {
        self.0
    }
}

/// Units counted on a shelf: at most [`MAX_UNITS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(u64);

impl Count {
    /// A count.
    ///
    /// # Errors
    /// [`InvalidValue::TooManyUnits`].
    pub fn new(units: u64) -> Result<Self, InvalidValue> {
        if units > MAX_UNITS { Err(InvalidValue::TooManyUnits) } else { Ok(Self(units)) }
    }

    /// Units.
    pub const fn units(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use contracts::money::Currency;

    use super::*;

    #[test]
    fn names_are_one_line_of_1_to_200_characters() {
        assert_eq!(ProductName::parse("  Tea ").unwrap().as_str(), "Tea");
        assert!(ProductName::parse(&"ä".repeat(200)).is_ok());
        for bad in ["", "   ", "a\0b", "a\nb", "a\tb", &"x".repeat(201)] {
            assert!(ProductName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn descriptions_may_be_empty_and_have_lines() {
        for good in ["", "a\nb", &"x".repeat(4000)] {
            assert!(Description::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["a\0b", "\u{1b}[31m", &"x".repeat(4001)] {
            assert!(Description::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn images_are_on_this_site_or_secure() {
        for good in ["", "/img/tea.jpg", "https://cdn.example/tea.jpg?w=2"] {
            assert!(ImageUrl::parse(good).is_ok(), "{good:?}");
        }
        let long = format!("/{}", "x".repeat(2000));
        for bad in [
            "http://a/b",
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "//evil.example/x",
            "/\\evil.example",
            "/a b",
            "/a\0",
            "img.jpg",
            " ",
            "/\"onload=",
            &long,
        ] {
            assert!(ImageUrl::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_are_short_plain_words_each_once() {
        for bad in ["", "Tea", "a b", "a_b", "ä", &"x".repeat(41)] {
            assert_eq!(Tag::parse(bad), Err(InvalidValue::Tag), "{bad:?}");
        }
        let tag = |n: usize| Tag::parse(&format!("t-{n}")).unwrap();
        let repeated = Tags::new(vec![tag(1), tag(2), tag(1)]).unwrap();
        assert_eq!(repeated.as_slice(), [tag(1), tag(2)]);
        assert!(Tags::new((0..20).map(tag).collect()).is_ok());
        assert_eq!(Tags::new((0..21).map(tag).collect()), Err(InvalidValue::TooManyTags));
    }

    #[test]
    fn prices_and_counts_are_bounded() {
        let money = |minor| Money::new(minor, Currency::USD).unwrap();
        assert!(Price::new(money(0)).is_ok());
        assert_eq!(Price::new(money(-1)), Err(InvalidValue::NegativePrice));
        assert!(Count::new(MAX_UNITS).is_ok());
        assert_eq!(Count::new(MAX_UNITS + 1), Err(InvalidValue::TooManyUnits));
    }
}
