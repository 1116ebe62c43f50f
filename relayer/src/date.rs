//! Days as dates of the Gregorian calendar, in UTC. A day is counted from the first of January 1970.

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;

/// The date of a day, as in `2026-11-28`.
pub fn show(day: i64) -> String {
    // Eras of 400 years that begin in March, so that the day that some years have more is their last.
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + next)
}

/// The second of `unix_ms`, as in `2026-11-28T09:30:00Z`.
pub fn show_second(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1_000);
    let of_day = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", show(seconds.div_euclid(DAY_SECONDS)))
}

/// The day of a date as [`show`] writes it, of the years 1970 to 9999.
pub fn parse(text: &str) -> Option<i64> {
    let [year, month, day] = text.split('-').map(|part| part.parse::<i64>().ok()).collect::<Option<Vec<_>>>()?[..]
    else {
        return None;
    };
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let (month, year) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let found = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    // A day that its month does not have would be one of the next, and a date has one spelling.
    (show(found) == text).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_date_and_a_date_its_day() {
        for (day, shown) in
            [(0, "1970-01-01"), (58, "1970-02-28"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_785, "2026-11-28")]
        {
            assert_eq!(show(day), shown);
            assert_eq!(parse(shown), Some(day));
        }
        assert_eq!(show(-1), "1969-12-31");
        assert!((0..200_000).all(|day| parse(&show(day)) == Some(day)));
        assert_eq!(show_second(20_785 * 86_400_000 + 34_200_999), "2026-11-28T09:30:00Z");
    }

    #[test]
    fn what_is_no_date_has_no_day() {
        for text in [
            "",
            "today",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-1-1",
            "1969-12-31",
            "2026-11-28T00:00Z",
            "+2026-11-28",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
