//! `strftime` for the directives that chat templates use, in UTC and English.

/// Formats Unix seconds.
///
/// # Errors
/// A directive that is not supported.
pub(super) fn strftime(format: &str, unix_seconds: i64) -> Result<String, String> {
    let time = Civil::from_unix(unix_seconds);
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let directive = characters.next();
        // `%-d` is the C library's way to leave the padding out.
        let (padded, directive) = match directive {
            Some('-') => (false, characters.next()),
            other => (true, other),
        };
        let Some(part) = directive.and_then(|directive| time.part(directive)) else {
            return Err(format!("%{}", directive.map(String::from).unwrap_or_default()));
        };
        text.push_str(&match part {
            Part::Text(text) => text.to_owned(),
            Part::Number(number, width) if padded => format!("{number:0width$}"),
            Part::Number(number, _) => number.to_string(),
            Part::SpacePadded(number) if padded => format!("{number:2}"),
            Part::SpacePadded(number) => number.to_string(),
            Part::Composite(format) => strftime(format, unix_seconds)?,
        });
    }
    Ok(text)
}

enum Part {
    Text(&'static str),
    Number(i64, usize),
    SpacePadded(i64),
    Composite(&'static str),
}

/// A moment in the proleptic Gregorian calendar.
struct Civil {
    year: i64,
    /// 1 to 12
    month: i64,
    day: i64,
    /// 0 is Sunday.
    weekday: i64,
    day_of_year: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    /// Howard Hinnant's `civil_from_days`: years begin in March, in eras of 400.
    #[allow(clippy::arithmetic_side_effects, reason = "the seconds are clamped to some ten thousand years")]
    fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(-62_135_596_800, 253_402_300_799); // years 1 to 9999
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let january = if month <= 2 { of_year - 305 } else { of_year + 60 + i64::from(leap) };
        Self {
            year,
            month,
            day: of_year - (153 * shifted_month + 2) / 5 + 1,
            weekday: (days + 4).rem_euclid(7),
            day_of_year: january,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }

    fn part(&self, directive: char) -> Option<Part> {
        let month = || MONTHS.get(usize::try_from(self.month.saturating_sub(1)).ok()?).copied();
        let weekday = || WEEKDAYS.get(usize::try_from(self.weekday).ok()?).copied();
        Some(match directive {
            'Y' => Part::Number(self.year, 4),
            'y' => Part::Number(self.year.rem_euclid(100), 2),
            'm' => Part::Number(self.month, 2),
            'd' => Part::Number(self.day, 2),
            'e' => Part::SpacePadded(self.day),
            'j' => Part::Number(self.day_of_year, 3),
            'H' => Part::Number(self.hour, 2),
            'I' => Part::Number(self.hour.saturating_add(11).rem_euclid(12).saturating_add(1), 2),
            'M' => Part::Number(self.minute, 2),
            'S' => Part::Number(self.second, 2),
            'p' => Part::Text(if self.hour < 12 { "AM" } else { "PM" }),
            'B' => Part::Text(month()?),
            'b' | 'h' => Part::Text(month()?.get(..3)?),
            'A' => Part::Text(weekday()?),
            'a' => Part::Text(weekday()?.get(..3)?),
            'Z' => Part::Text("UTC"),
            'z' => Part::Text("+0000"),
            'F' => Part::Composite("%Y-%m-%d"),
            'T' => Part::Composite("%H:%M:%S"),
            '%' => Part::Text("%"),
            _ => return None,
        })
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        // Each as Python's datetime prints it.
        for (seconds, format, expected) in [
            (0, "%Y-%m-%d %H:%M:%S %A %j", "1970-01-01 00:00:00 Thursday 001"),
            (951_782_400, "%d %b %Y %j", "29 Feb 2000 060"),
            (951_868_800, "%-d %B %y %j", "1 March 00 061"),
            (1_767_225_599, "%F %T %p %I %j", "2025-12-31 23:59:59 PM 11 365"),
            (-1, "%a %e %b %Y %%", "Wed 31 Dec 1969 %"),
            (1_709_164_800, "%A, %d %B %Y", "Thursday, 29 February 2024"),
        ] {
            assert_eq!(strftime(format, seconds).unwrap(), expected);
        }
        assert_eq!(strftime("%Q", 0), Err("%Q".to_owned()));
        assert_eq!(strftime("%", 0), Err("%".to_owned()));
    }

    #[test]
    fn no_time_panics() {
        for seconds in [i64::MIN, i64::MAX, -62_135_596_801, 253_402_300_800] {
            strftime("%Y-%m-%d %j %A", seconds).unwrap();
        }
    }
}
