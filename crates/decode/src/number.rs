//! Numbers in decimal text, read exactly: never through binary floating point unless that is what is asked for.

use std::cmp::Ordering;

use crate::value::Unfit;

/// Most significant digits that are kept: what a decimal of any precision can hold.
const MAX_DIGITS: i64 = 38;

/// So many digits always fit 64 bits.
const FEW_DIGITS: usize = 18;
/// So many digits are always a double, divided by a power of ten or not.
const EXACT_DIGITS: usize = 15;

/// What most numbers are: a few digits, perhaps a point among them, and no exponent.
struct Plain {
    negative: bool,
    /// Without the point.
    digits: u64,
    /// How many there are.
    count: usize,
    /// How many of them are after the point.
    fraction: usize,
}

impl Plain {
    /// None: it is a number of another form, or none.
    fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = sign(text);
        let (mut digits, mut count, mut point) = (0_u64, 0, None);
        for byte in unsigned.bytes() {
            match byte {
                b'0'..=b'9' if count < FEW_DIGITS => {
                    digits = digits * 10 + u64::from(byte - b'0');
                    count += 1;
                }
                b'.' if point.is_none() => point = Some(count),
                _ => return None,
            }
        }
        (count > 0).then_some(Self { negative, digits, count, fraction: point.map_or(0, |point| count - point) })
    }

    /// As [`Number::scaled`].
    fn scaled(&self, precision: u8, scale: u8) -> Result<i128, Unfit> {
        if self.digits == 0 {
            return Ok(0);
        }
        let scale = usize::from(scale);
        let magnitude = if let Some(missing) = scale.checked_sub(self.fraction) {
            // Of at most 38 places for 18 digits at the most: beyond 38 digits nothing fits.
            let power = power_of_ten(i64::try_from(missing).unwrap_or(MAX_DIGITS));
            u128::from(self.digits).checked_mul(power).ok_or(Unfit::TooLarge)?
        } else {
            let surplus = 10_u64.pow(u32::try_from(self.fraction - scale).unwrap_or(0));
            if !self.digits.is_multiple_of(surplus) {
                return Err(Unfit::TooManyDecimals);
            }
            u128::from(self.digits / surplus)
        };
        if magnitude >= power_of_ten(i64::from(precision).min(MAX_DIGITS)) {
            return Err(Unfit::TooLarge);
        }
        let magnitude = i128::try_from(magnitude).map_err(|_| Unfit::TooLarge)?;
        Ok(if self.negative { -magnitude } else { magnitude })
    }
}

/// A number as it is written: `[+-] digits [. digits] [e [+-] digits]`, with a digit before or after the point.
struct Number<'t> {
    text: &'t str,
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i64,
}

impl<'t> Number<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let (negative, unsigned) = sign(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let has_digit = !whole.is_empty() || !fraction.is_empty();
        (has_digit && is_digits(whole) && is_digits(fraction)).then_some(Self {
            text,
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes()).map(|digit| digit - b'0')
    }

    fn is_zero(&self) -> bool {
        self.digits().all(|digit| digit == 0)
    }

    /// The number times ten to the power of `scale`, if that is whole and has at most `precision` digits.
    fn scaled(&self, precision: u8, scale: u8) -> Result<i128, Unfit> {
        // The number is mantissa * 10^power, where the mantissa doesn't end in a zero.
        let (mut mantissa, mut significant, mut zeros) = (0_u128, 0_i64, 0_i64);
        for digit in self.digits() {
            if digit == 0 {
                zeros += i64::from(significant > 0);
                continue;
            }
            significant += zeros + 1;
            if significant <= MAX_DIGITS {
                mantissa = mantissa * power_of_ten(zeros + 1) + u128::from(digit);
            }
            zeros = 0;
        }
        if significant == 0 {
            return Ok(0);
        }
        let fraction_digits = i64::try_from(self.fraction.len()).unwrap_or(i64::MAX);
        let power = self.exponent.saturating_sub(fraction_digits).saturating_add(zeros);
        let shift = power.saturating_add(i64::from(scale));
        if shift < 0 {
            return Err(Unfit::TooManyDecimals);
        }
        if significant.saturating_add(shift) > i64::from(precision).min(MAX_DIGITS) {
            return Err(Unfit::TooLarge);
        }
        let magnitude = i128::try_from(mantissa * power_of_ten(shift)).map_err(|_| Unfit::TooLarge)?;
        Ok(if self.negative { -magnitude } else { magnitude })
    }
}

impl Number<'_> {
    /// Its digits without zeros before and after them, and the power of ten before the first of them: 0.0520 is 52 and -1.
    fn significant(&self) -> (Vec<u8>, i64) {
        let mut digits: Vec<u8> = self.digits().skip_while(|digit| *digit == 0).collect();
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        let power = count(digits.len()).saturating_sub(count(self.fraction.len())).saturating_add(self.exponent);
        while digits.pop_if(|digit| *digit == 0).is_some() {}
        (digits, power)
    }
}

/// How two numbers compare, exactly; none: one of them isn't any.
pub(crate) fn compare(left: &str, right: &str) -> Option<Ordering> {
    let (left, right) = (Number::parse(left)?, Number::parse(right)?);
    let sign = |number: &Number<'_>| match (number.is_zero(), number.negative) {
        (true, _) => 0,
        (false, true) => -1,
        (false, false) => 1,
    };
    let (sign_of_left, sign_of_right) = (sign(&left), sign(&right));
    if sign_of_left != sign_of_right || sign_of_left == 0 {
        return Some(sign_of_left.cmp(&sign_of_right));
    }
    let ((left_digits, left_power), (right_digits, right_power)) = (left.significant(), right.significant());
    let by_magnitude = left_power.cmp(&right_power).then_with(|| left_digits.cmp(&right_digits));
    Some(if sign_of_left < 0 { by_magnitude.reverse() } else { by_magnitude })
}

/// `exponent` is 0 to 38.
fn power_of_ten(exponent: i64) -> u128 {
    10_u128.pow(u32::try_from(exponent).unwrap_or(0))
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An exponent beyond 64 bits is as good as the greatest.
fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !is_digits(digits) {
        return None;
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

/// A decimal's unscaled value: `12.5` with scale 2 is 1250.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Result<i128, Unfit> {
    match Plain::parse(text) {
        Some(plain) => plain.scaled(precision, scale),
        None => Number::parse(text).ok_or(Unfit::NotANumber)?.scaled(precision, scale),
    }
}

/// A whole number, also written as `42.0` or `4.2e1`.
pub(crate) fn parse_integer(text: &str) -> Result<i64, Unfit> {
    if let Ok(integer) = text.parse() {
        return Ok(integer);
    }
    match parse_decimal(text, 19, 0) {
        Ok(integer) => i64::try_from(integer).map_err(|_| Unfit::TooLarge),
        Err(Unfit::TooManyDecimals) => Err(Unfit::NotWhole),
        Err(other) => Err(other),
    }
}

/// The nearest double. A decimal fraction may be rounded, for that is what a double does to it; a whole number may not:
/// beyond 2^53 it must be either exactly a double, or the shortest text of one (as JavaScript writes them).
pub(crate) fn parse_double(text: &str) -> Result<f64, Unfit> {
    if Plain::parse(text).is_some_and(|plain| plain.count <= EXACT_DIGITS) {
        return text.parse().map_err(|_| Unfit::NotANumber);
    }
    let number = Number::parse(text).ok_or(Unfit::NotANumber)?;
    let value: f64 = number.text.parse().map_err(|_| Unfit::NotANumber)?;
    if value.is_infinite() {
        return Err(Unfit::TooLarge);
    }
    if value == 0.0 && !number.is_zero() {
        return Err(Unfit::TooSmall);
    }
    let whole = number.whole.trim_start_matches('0');
    let is_whole = number.exponent == 0 && number.fraction.bytes().all(|digit| digit == b'0');
    // 15 digits always fit.
    if is_whole && whole.len() > 15 && format!("{:.0}", value.abs()) != whole && value.abs().to_string() != whole {
        return Err(Unfit::InexactDouble);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("9007199254740993", "9007199254740992", Ordering::Greater)]
    #[case("0.1", "0.1000000000000000055511151231257827", Ordering::Less)]
    #[case("1e99999999999999999999", "9e99", Ordering::Greater)]
    #[case("-1e99999999999999999999", "1e-99999999999999999999", Ordering::Less)]
    #[case("-0.0", "0e7", Ordering::Equal)]
    fn numbers_compare_exactly(#[case] left: &str, #[case] right: &str, #[case] expected: Ordering) {
        assert_eq!(compare(left, right), Some(expected));
        assert_eq!(compare(right, left), Some(expected.reverse()));
    }

    proptest! {
        #[test]
        fn numbers_compare_as_their_scaled_values(
            left in "[+-]?[0-9]{0,6}(\\.[0-9]{0,5})?(e[+-]?[0-3])?",
            right in "[+-]?[0-9]{0,6}(\\.[0-9]{0,5})?(e[+-]?[0-3])?",
        ) {
            let scaled = |text: &str| parse_decimal(text, 38, 8).ok();
            let expected = scaled(&left).zip(scaled(&right)).map(|(left, right)| left.cmp(&right));
            prop_assert_eq!(compare(&left, &right), expected);
        }

        #[test]
        fn plain_numbers_are_read_as_all_are(
            text in "[+-]?0{0,3}[0-9]{0,16}(\\.[0-9]{0,6}0{0,4})?",
            precision in 1..=38_u8,
            scale in 0..=38_u8,
        ) {
            let scale = scale.min(precision);
            let Some(plain) = Plain::parse(&text) else { return Ok(()) };
            let number = Number::parse(&text).unwrap();
            let (plain_value, value) = (plain.scaled(precision, scale), number.scaled(precision, scale));
            prop_assert_eq!(format!("{plain_value:?}"), format!("{value:?}"));
            if plain.count <= EXACT_DIGITS {
                let double = parse_double(&text).unwrap();
                prop_assert_eq!(double.to_bits(), text.parse::<f64>().unwrap().to_bits());
                prop_assert!(double != 0.0 || number.is_zero());
            }
        }
    }
}
