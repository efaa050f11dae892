//! Points and spans of time, as Kafka's tools have them on the command line and print them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo};
use stratalog::Timestamp;

/// A point in time: milliseconds since 1970, or ISO 8601. Without a zone it is UTC, as Kafka has it.
pub(super) fn point(text: &str) -> Result<Timestamp, String> {
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(Timestamp::from_millis(millis));
    }
    let zoned = text.parse::<jiff::Timestamp>();
    let plain = || {
        let at = text.parse::<DateTime>().ok()?;
        at.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    };
    let at = zoned.ok().or_else(plain).ok_or("give YYYY-MM-DDTHH:mm:ss.sss, or milliseconds since 1970")?;
    Ok(Timestamp::from_millis(at.as_millisecond()))
}

/// A span of time in ISO 8601: `PnDTnHnMnS`. A day has 24 hours.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    const WANTED: &str = "give PnDTnHnMnS, for example PT90M or P7D";
    let span = text.parse::<Span>().ok().filter(|_| text.starts_with(['P', 'p'])).ok_or(WANTED)?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| WANTED)?;
    Duration::try_from(span).map_err(|_| "give a span that is not negative".to_owned())
}

/// In local time, as Kafka's tools for measuring print it. What is no time of the calendar is a number of milliseconds.
pub(super) fn shown(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S:%3f").to_string(),
        Err(_) => format!("{} ms since 1970", at.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points() {
        for (text, millis) in [
            ("1700000000000", 1_700_000_000_000),
            ("-5", -5),
            ("2023-11-14T22:13:20.000", 1_700_000_000_000),
            ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
            ("2023-11-14T23:13:20.123+01:00", 1_700_000_000_123),
        ] {
            assert_eq!(point(text), Ok(Timestamp::from_millis(millis)), "{text}");
        }
        for text in ["", "yesterday", "2023-13-01T00:00:00.000", "99999999999999999999"] {
            assert!(point(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_time_is_shown_that_is_not_meant() {
        assert!(shown(Timestamp::from_millis(1_700_000_000_000)).starts_with("2023-11-1"));
        assert_eq!(shown(Timestamp::from_millis(i64::MAX)), "9223372036854775807 ms since 1970");
    }

    #[test]
    fn spans() {
        for (text, seconds) in [("PT90M", 5400), ("P7D", 604_800), ("P1DT1H1M1S", 90_061), ("PT0S", 0)] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7 days", "90", "P1M", "-PT1S", "PT"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
