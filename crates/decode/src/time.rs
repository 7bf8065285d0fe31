//! Days and times in text and as counts since 1970, all to UTC.

use crate::value::Unfit;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z in microseconds since 1970: the years that Delta's readers
/// take.
const FIRST_MICROSECOND: i64 = -62_135_596_800_000_000;
const LAST_MICROSECOND: i64 = 253_402_300_799_999_999;
/// Counts below this are seconds: up to the year 5138.
const SECONDS_BELOW: u64 = 100_000_000_000;
/// Counts below this, and not seconds, are milliseconds: from 1973-03-03 to the year 5138. Greater ones are
/// microseconds.
const MILLISECONDS_BELOW: u64 = 100_000_000_000_000;

/// A day or a time as text, to microseconds since 1970: RFC 3339, or `YYYY-MM-DD[ T]HH:MM[:SS[.f]]` with or without a
/// zone, or `YYYY-MM-DD` for its midnight; no zone means UTC. A zone is `Z`, `UTC`, or an offset as `+02:00`, `+0200`,
/// `+02`, perhaps after a blank. Digits beyond the microsecond are cut. A 60th second is the first of the next minute.
pub(crate) fn parse_time(text: &str) -> Result<i64, Unfit> {
    let mut cursor = Cursor(text.as_bytes());
    let (year, month, day) = cursor.date().ok_or(Unfit::NotATime)?;
    let clock = if cursor.0.is_empty() { Clock::default() } else { cursor.clock().ok_or(Unfit::NotATime)? };
    let is_leap_second = clock.second == 60;
    let second = if is_leap_second { 59 } else { clock.second };
    let days = days_since_1970(year, month, day).ok_or(Unfit::NoSuchTime)?;
    if clock.hour > 23 || clock.minute > 59 || second > 59 {
        return Err(Unfit::NoSuchTime);
    }
    let second_of_day = i64::from(clock.hour) * 3_600 + i64::from(clock.minute) * 60 + i64::from(second);
    let seconds = days * SECONDS_PER_DAY + second_of_day + i64::from(is_leap_second);
    within_years((seconds - clock.offset_seconds) * MICROS_PER_SECOND + clock.microseconds)
}

/// A count since 1970 to microseconds; its size says whether it counts seconds, milliseconds or microseconds.
pub(crate) fn from_epoch(count: i64) -> Result<i64, Unfit> {
    let unit = match count.unsigned_abs() {
        ..SECONDS_BELOW => MICROS_PER_SECOND,
        SECONDS_BELOW..MILLISECONDS_BELOW => 1_000,
        _ => 1,
    };
    within_years(count.saturating_mul(unit))
}

/// A count since 1970 as text. Texts of 8 or 14 digits are refused: they are as likely a day or a time without
/// separators.
pub(crate) fn is_epoch_text(text: &str) -> Result<bool, Unfit> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(false);
    }
    let is_signed = digits.len() < text.len();
    if !is_signed && matches!(digits.len(), 8 | 14) { Err(Unfit::PerhapsCompactDate) } else { Ok(true) }
}

/// The UTC day of a time, counted from 1970-01-01.
pub(crate) fn day_of(microseconds: i64) -> Result<i32, Unfit> {
    i32::try_from(microseconds.div_euclid(MICROS_PER_DAY)).map_err(|_| Unfit::OutsideYears)
}

/// Days from 1970-01-01 to a day of the years 0 to 9999; none: there is no such day. Years are counted from March on, so that the
/// day that leap years have is their last, in groups of 400, which are all of 146,097 days.
fn days_since_1970(year: i16, month: i8, day: i8) -> Option<i64> {
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let year_from_march = if month > 2 { year } else { year - 1 };
    let (group, year_of_group) = (year_from_march.div_euclid(400), year_from_march.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_group = year_of_group * 365 + year_of_group / 4 - year_of_group / 100 + day_of_year;
    Some(group * 146_097 + day_of_group - 719_468)
}

fn within_years(microseconds: i64) -> Result<i64, Unfit> {
    let holds = (FIRST_MICROSECOND..=LAST_MICROSECOND).contains(&microseconds);
    if holds { Ok(microseconds) } else { Err(Unfit::OutsideYears) }
}

#[derive(Default)]
struct Clock {
    hour: i8,
    minute: i8,
    second: i8,
    microseconds: i64,
    offset_seconds: i64,
}

/// What is left of a text. Methods take from its start; `None`: it isn't there.
struct Cursor<'t>(&'t [u8]);

impl Cursor<'_> {
    /// Year, month and day.
    fn date(&mut self) -> Option<(i16, i8, i8)> {
        let year = self.number::<4>()?;
        self.expect(b"-")?;
        let month = self.two_digits()?;
        self.expect(b"-")?;
        let day = self.two_digits()?;
        Some((year, month, day))
    }

    fn clock(&mut self) -> Option<Clock> {
        self.expect(b"Tt ")?;
        let hour = self.two_digits()?;
        self.expect(b":")?;
        let minute = self.two_digits()?;
        let mut second = 0;
        let mut microseconds = 0;
        if self.expect(b":").is_some() {
            second = self.two_digits()?;
            if self.expect(b".").is_some() {
                microseconds = self.fraction()?;
            }
        }
        let offset_seconds = self.zone()?;
        Some(Clock { hour, minute, second, microseconds, offset_seconds })
    }

    /// One digit or more after the point, in microseconds.
    fn fraction(&mut self) -> Option<i64> {
        let (mut microseconds, mut unit) = (i64::from(self.digit()?) * 100_000, 10_000);
        while let Some(digit) = self.digit() {
            microseconds += i64::from(digit) * unit;
            unit /= 10;
        }
        Some(microseconds)
    }

    /// What remains must be a zone or nothing; in seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        let had_blank = self.expect(b" ").is_some();
        if self.0.is_empty() && !had_blank || matches!(self.0, b"Z" | b"z" | b"UTC") {
            return Some(0);
        }
        let east = self.expect(b"+").is_some();
        if !east {
            self.expect(b"-")?;
        }
        let hours = self.number::<2>()?;
        let has_colon = self.expect(b":").is_some();
        let minutes = if self.0.is_empty() && !has_colon { 0 } else { self.number::<2>()? };
        if !self.0.is_empty() || hours > 23 || minutes > 59 {
            return None;
        }
        let seconds = i64::from(hours) * 3_600 + i64::from(minutes) * 60;
        Some(if east { seconds } else { -seconds })
    }

    fn expect(&mut self, any_of: &[u8]) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        any_of.contains(first).then(|| self.0 = rest)
    }

    fn digit(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        first.is_ascii_digit().then(|| {
            self.0 = rest;
            first - b'0'
        })
    }

    /// At most four digits, so that 16 bits hold them.
    fn number<const DIGITS: usize>(&mut self) -> Option<i16> {
        let mut number = 0;
        for _ in 0..DIGITS {
            number = number * 10 + i16::from(self.digit()?);
        }
        Some(number)
    }

    fn two_digits(&mut self) -> Option<i8> {
        i8::try_from(self.number::<2>()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let epoch = date(1970, 1, 1);
        for year in (0..=9_999).filter(|year| year % 100 < 5 || (1_960..2_040).contains(year)) {
            for (month, day) in (0..=13).flat_map(|month| (0..=32).map(move |day| (month, day))) {
                let expected = jiff::civil::Date::new(year, month, day).ok().map(|day| {
                    day.to_datetime(jiff::civil::Time::midnight())
                        .duration_since(epoch.to_datetime(jiff::civil::Time::midnight()))
                        .as_secs()
                        / SECONDS_PER_DAY
                });
                assert_eq!(days_since_1970(year, month, day), expected, "{year}-{month}-{day}");
            }
        }
    }
}
