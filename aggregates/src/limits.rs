//! How long texts and lists may be, and other bounds of single values.

use std::ops::RangeInclusive;

use schemas::Money;
use schemas::order::PostalAddress;

/// Most characters of a name.
pub(crate) const NAME_CHARS_MAX: usize = 300;
/// Most characters of a code, channel, country, carrier, tag or the like.
pub(crate) const LABEL_CHARS_MAX: usize = 64;
/// Most characters of a provider's or carrier's own name of something, or of a session.
pub(crate) const FOREIGN_ID_CHARS_MAX: usize = 256;
/// Most characters of an email address (RFC 5321: 64 + 1 + 255).
pub(crate) const EMAIL_CHARS_MAX: usize = 320;
/// Most characters of a reason or message for people, of an attribute or of a URL.
pub(crate) const NOTE_CHARS_MAX: usize = 2_000;
/// Most characters of a product's description.
pub(crate) const DESCRIPTION_CHARS_MAX: usize = 20_000;
/// Most entries of a list, where nothing else is said.
pub(crate) const ENTRIES_MAX: usize = 100;

/// Most bytes of the texts that one event repeats line by line or entry by entry. Each may be as long as allowed, but all of
/// them have to fit a record of the log (1 MiB by default) with what stands around them.
pub(crate) const TEXTS_BYTES_MAX: usize = 600 << 10;

/// Largest amount of one document, minor units either way: sums over millions of them still fit 64 bits, in accounts and
/// in views, which could not go on otherwise.
pub const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;

/// A value outside of its range; every aggregate turns it into its own `InvalidValue`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) field: &'static str,
    pub(crate) problem: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// The text must have as many characters as `chars` says.
pub(crate) fn text(field: &'static str, value: &str, chars: RangeInclusive<usize>) -> Result<(), Invalid> {
    let (min, max) = chars.into_inner();
    // A text has at most as many characters as bytes: most are counted by their length alone.
    let given = if value.len() <= max && min <= 1 { value.len() } else { value.chars().count() };
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(Invalid::new(field, format!("has {given} characters, {min} to {max} are allowed")))
}

/// An optional text must keep to `chars` when it is given.
pub(crate) fn optional_text(
    field: &'static str,
    value: Option<&str>,
    chars: RangeInclusive<usize>,
) -> Result<(), Invalid> {
    value.map_or(Ok(()), |value| text(field, value, chars))
}

/// The list must have at most `max` entries.
pub(crate) fn entries(field: &'static str, given: usize, max: usize) -> Result<(), Invalid> {
    if given <= max {
        return Ok(());
    }
    Err(Invalid::new(field, format!("has {given} entries, at most {max} are allowed")))
}

/// The list must have at most 100 entries, each with as many characters as `chars` says.
pub(crate) fn texts(
    field: &'static str,
    values: &[String],
    chars: RangeInclusive<usize>,
) -> Result<(), Invalid> {
    entries(field, values.len(), ENTRIES_MAX)?;
    values.iter().try_for_each(|value| text(field, value, chars.clone()))
}

/// The texts together must not be longer than an event can hold.
pub(crate) fn texts_together<'a>(
    field: &'static str,
    values: impl Iterator<Item = &'a str>,
) -> Result<(), Invalid> {
    let given: usize = values.map(str::len).sum();
    if given <= TEXTS_BYTES_MAX {
        return Ok(());
    }
    Err(Invalid::new(field, format!("have {given} bytes of text, at most {TEXTS_BYTES_MAX} are allowed")))
}

/// The amount must be one that a document can have.
pub(crate) fn amount(field: &'static str, amount: Money) -> Result<(), Invalid> {
    if amount.amount_minor.unsigned_abs() <= AMOUNT_MINOR_MAX.unsigned_abs() {
        return Ok(());
    }
    let most = Money::new(AMOUNT_MINOR_MAX, amount.currency);
    Err(Invalid::new(field, format!("is {amount}, at most {most} is allowed")))
}

/// The amount must be one that a document can have, and not negative.
pub(crate) fn not_negative(field: &'static str, given: Money) -> Result<(), Invalid> {
    if given.amount_minor < 0 {
        return Err(Invalid::new(field, format!("is {given}, it may not be negative")));
    }
    amount(field, given)
}

/// Lines are counted from 1.
pub(crate) fn line_number(line: u32) -> Result<(), Invalid> {
    if line >= 1 {
        return Ok(());
    }
    Err(Invalid::new("line", "is 0, lines are counted from 1"))
}

/// The parts of an address keep to the lengths of names and labels.
pub(crate) fn address(field: &'static str, address: &PostalAddress) -> Result<(), Invalid> {
    text(field, &address.name, 0..=NAME_CHARS_MAX)?;
    texts(field, &address.lines, 0..=NAME_CHARS_MAX)?;
    text(field, &address.postal_code, 0..=LABEL_CHARS_MAX)?;
    text(field, &address.city, 0..=NAME_CHARS_MAX)?;
    text(field, &address.country, 0..=LABEL_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_measured_in_characters_not_bytes() {
        assert_eq!(text("name", "ööö", 1..=3), Ok(()));
        assert_eq!(
            text("name", "öööö", 1..=3),
            Err(Invalid::new("name", "has 4 characters, 1 to 3 are allowed"))
        );
        assert!(text("name", "", 1..=3).is_err());
    }
}
